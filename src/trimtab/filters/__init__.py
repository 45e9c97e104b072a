"""Filters: select the labels to train on. One file per kind."""

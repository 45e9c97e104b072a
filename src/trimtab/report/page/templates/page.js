"use strict";
// Tabs. Without this script the page is one long page, and its tabs are links into it.
(() => {
  const tabs = [...document.querySelectorAll(".tabs a")];
  const panelOf = (tab) => document.getElementById(tab.getAttribute("href").slice(1));

  const show = (tab) => {
    for (const each of tabs) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
      panelOf(each).hidden = !chosen;
    }
  };

  // The address names a tab's panel or anything inside one; one that is no text, such as #%, names nothing.
  const named = () => {
    try {
      return document.getElementById(decodeURIComponent(location.hash.slice(1)));
    } catch (error) {
      if (error instanceof URIError) return null;
      throw error;
    }
  };
  const shown = () => {
    const target = named();
    const tab = target && tabs.find((each) => panelOf(each).contains(target));
    show(tab || tabs[0]);
    (tab || tabs[0]).scrollIntoView({ block: "nearest", inline: "nearest" });
    if (tab && target !== panelOf(tab)) target.scrollIntoView();
    else window.scrollTo(0, 0);
  };

  const goes = {
    ArrowRight: (place) => (place + 1) % tabs.length,
    ArrowLeft: (place) => (place - 1 + tabs.length) % tabs.length,
    Home: () => 0,
    End: () => tabs.length - 1,
    " ": (place) => place,
  };
  const list = document.querySelector(".tabs");
  list.setAttribute("role", "tablist");
  for (const tab of tabs) {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panelOf(tab).id);
    panelOf(tab).setAttribute("role", "tabpanel");
    panelOf(tab).setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("keydown", (event) => {
      if (!(event.key in goes) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      event.preventDefault();
      const next = tabs[goes[event.key](tabs.indexOf(tab))];
      // not by location.hash: going to a fragment takes the focus off the tab
      history.pushState(null, "", next.getAttribute("href"));
      shown();
      next.focus();
    });
  }
  window.addEventListener("hashchange", shown);
  shown();
})();

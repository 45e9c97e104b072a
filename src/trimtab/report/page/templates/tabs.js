"use strict";
// Tabs. Without this script the page is one long page, and its tabs are links into it.
(() => {
  const tabs = [...document.querySelectorAll(".tabs a")];
  const panelOf = (tab) => document.getElementById(tab.getAttribute("href").slice(1));

  const show = (selected) => {
    for (const tab of tabs) {
      const isSelected = tab === selected;
      tab.setAttribute("aria-selected", String(isSelected));
      tab.tabIndex = isSelected ? 0 : -1;
      panelOf(tab).hidden = !isSelected;
    }
  };

  // The fragment is the id of a panel or of an element inside one. A malformed fragment such as #% has no target.
  const fragmentTarget = () => {
    try {
      return document.getElementById(decodeURIComponent(location.hash.slice(1)));
    } catch (error) {
      if (error instanceof URIError) return null;
      throw error;
    }
  };
  const showTarget = () => {
    const target = fragmentTarget();
    const tab = target && tabs.find((each) => panelOf(each).contains(target));
    show(tab || tabs[0]);
    (tab || tabs[0]).scrollIntoView({ block: "nearest", inline: "nearest" });
    if (tab && target !== panelOf(tab)) target.scrollIntoView();
    else window.scrollTo(0, 0);
  };

  const nextIndex = {
    ArrowRight: (index) => (index + 1) % tabs.length,
    ArrowLeft: (index) => (index - 1 + tabs.length) % tabs.length,
    Home: () => 0,
    End: () => tabs.length - 1,
    " ": (index) => index,
  };
  document.querySelector(".tabs").setAttribute("role", "tablist");
  for (const tab of tabs) {
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panelOf(tab).id);
    panelOf(tab).setAttribute("role", "tabpanel");
    panelOf(tab).setAttribute("aria-labelledby", tab.id);
    tab.addEventListener("keydown", (event) => {
      if (!(event.key in nextIndex) || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
      event.preventDefault();
      const next = tabs[nextIndex[event.key](tabs.indexOf(tab))];
      // Setting location.hash would take the focus off the tab.
      history.pushState(null, "", next.getAttribute("href"));
      showTarget();
      next.focus();
    });
  }
  window.addEventListener("hashchange", showTarget);
  showTarget();
})();

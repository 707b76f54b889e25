// The colours that were chosen, put in place before anything is painted. Not a module: those wait.
'use strict';
(() => {
  try {
    const theme = localStorage.getItem('annals.theme');
    if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme;
  } catch {
    // Without storage the system's choice holds.
  }
})();

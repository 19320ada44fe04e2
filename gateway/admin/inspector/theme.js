/** Dark or light: as the system says, or as it was chosen here. Runs before the first paint. */

const KEY = "milter-gateway-theme";
const THEMES = ["system", "light", "dark"];
const SIGNS = { system: "◐", light: "☀", dark: "☾" };

function chosen() {
  try {
    const kept = localStorage.getItem(KEY);
    return THEMES.includes(kept) ? kept : "system";
  } catch {
    return "system"; // storage may be switched off
  }
}

function apply(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

function label(button, theme) {
  button.textContent = SIGNS[theme];
  button.setAttribute("aria-label", `Colours: ${theme === "system" ? "as the system" : theme}. Change`);
  button.title = `Colours: ${theme}`;
}

/** Makes this button go through the themes. */
export function themeSwitch(button) {
  let theme = chosen();
  label(button, theme);
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // it holds for this page then
    }
    apply(theme);
    label(button, theme);
  });
}

apply(chosen());

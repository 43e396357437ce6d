// @ts-check
// The demo's guide: clicking a word sends it, and the tag can be copied.
const guide = /** @type {HTMLDetailsElement} */ (document.getElementById("guide"));
const narrow = matchMedia("(max-width: 860px)");

/**
 * On a phone the open guide would cover the chat; elsewhere it is opened. The page is
 * served with it closed: closing it later would move the chat, opening it does not.
 */
function fit() {
  guide.open = !narrow.matches;
}

narrow.addEventListener("change", fit);
fit();

for (const button of /** @type {NodeListOf<HTMLButtonElement>} */ (document.querySelectorAll("[data-word]"))) {
  button.addEventListener("click", () => {
    const relay = /** @type {any} */ (window).RelayChat ?? [];
    /** @type {any} */ (window).RelayChat = relay;
    relay.push(["send", button.dataset.word]);
    if (narrow.matches) guide.open = false;
  });
}

const copy = /** @type {HTMLButtonElement} */ (document.getElementById("copy"));
copy.addEventListener("click", async () => {
  const embed = /** @type {HTMLElement} */ (document.getElementById("embed"));
  try {
    await navigator.clipboard.writeText(embed.textContent ?? "");
  } catch {
    getSelection()?.selectAllChildren(embed);
    return;
  }
  const label = copy.textContent;
  copy.textContent = "Copied";
  setTimeout(() => {
    copy.textContent = label;
  }, 2000);
});

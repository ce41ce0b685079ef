/**
 * Where the keyboard goes on when what had the focus is gone: a dialog that was opened from a menu, whose entries are gone
 * by then, or a link that led to another page. Browsers put the focus at the document's beginning.
 */
type Focusable = HTMLElement | SVGElement;

/** Elements that have had the focus, the last one last; not those in menus and dialogs, which go. */
const before: Focusable[] = [];
const KEPT = 8;
/** PatternFly gives the focus back where it can; then nothing is left to do. */
const AFTER = 30;

addEventListener("focusin", ({ target }) => {
  if (!(target instanceof HTMLElement || target instanceof SVGElement) || target.closest("[role=menu], [aria-modal]")) return;
  before.push(target);
  if (before.length > KEPT) before.shift();
});

/** Give the focus back to what had it last and is still there, unless something has it. */
export function focusBack(): void {
  setTimeout(() => {
    if (isFree()) (before.findLast((one) => one.isConnected) ?? main())?.focus();
  }, AFTER);
}

/** Give it to the page's content, unless something has it. */
export function focusContent(): void {
  if (isFree()) main()?.focus({ preventScroll: true });
}

function isFree(): boolean {
  return !document.activeElement || document.activeElement === document.body;
}

function main(): HTMLElement | null {
  return document.getElementById("main");
}

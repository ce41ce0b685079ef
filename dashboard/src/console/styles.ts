/**
 * *from* for xterm.js, which writes its rules into `<style>` elements and `style` attributes; the page's
 * Content-Security-Policy takes neither. The rules become style sheets of the document, and attributes become properties,
 * which the policy allows, since no text that came from elsewhere can do that. What is made *during* opening goes the same
 * way, since xterm.js asks the window's document then.
 */
export function withoutInlineStyles(from: Document): { document: Document; during: (open: () => void) => void; remove: () => void } {
  const make = (name: string): HTMLElement => Document.prototype.createElement.call(from, name);
  const mine: CSSStyleSheet[] = [];
  const add = (): HTMLElement => {
    const sheet = new CSSStyleSheet();
    mine.push(sheet);
    from.adoptedStyleSheets = [...from.adoptedStyleSheets, sheet];
    const holder = make("span");
    holder.hidden = true;
    Object.defineProperty(holder, "textContent", { get: () => "", set: (rules: string) => sheet.replaceSync(rules) });
    return holder;
  };
  const element = (name: string): HTMLElement => {
    if (name === "style") return add();
    const made = make(name);
    if (name === "span") {
      made.setAttribute = (attribute: string, value: string) => {
        if (attribute === "style") made.style.cssText = value;
        else Element.prototype.setAttribute.call(made, attribute, value);
      };
    }
    return made;
  };
  const document = new Proxy(from, {
    get(target, key) {
      if (key === "createElement") return element;
      const value: unknown = Reflect.get(target, key);
      return typeof value === "function" ? (value as (...all: unknown[]) => unknown).bind(target) : value;
    },
    set: (target, key, value) => Reflect.set(target, key, value),
  });
  return {
    document,
    during: (open) => {
      Object.defineProperty(from, "createElement", { configurable: true, value: element });
      try {
        open();
      } finally {
        Reflect.deleteProperty(from, "createElement");
      }
    },
    remove: () => {
      from.adoptedStyleSheets = from.adoptedStyleSheets.filter((sheet) => !mine.includes(sheet));
    },
  };
}

import i18next from "i18next";
import en from "./locales/en.json";

/** Texts are their own keys, as with gettext; `npm run texts` collects them into `locales/en.json`. */
void i18next.init({
  lng: "en",
  fallbackLng: "en",
  keySeparator: false,
  nsSeparator: false,
  initAsync: false,
  interpolation: { escapeValue: false },
  resources: { en: { translation: en } },
});

/** Values that are numbers are amounts and are written as such; a number that is a name, such as a port's, is passed as text. */
export function t(text: string, values: Record<string, unknown> = {}): string {
  const written = Object.fromEntries(Object.entries(values).map(([key, value]) => [key, typeof value === "number" ? number(value) : value]));
  return i18next.t(text, { defaultValue: text, ...written }) as string;
}

/** "3 servers", with the plural forms that the catalog has. */
export function count(one: string, other: string, number: number): string {
  return t(number === 1 ? one : other, { number });
}

/** An amount as the texts' language writes it: "1,040". */
export function number(amount: number): string {
  return (written ??= new Intl.NumberFormat(i18next.language)).format(amount);
}

let written: Intl.NumberFormat | undefined;

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

export function t(text: string, values?: Record<string, unknown>): string {
  return i18next.t(text, { defaultValue: text, ...values }) as string;
}

/** "3 servers", with the plural forms that the catalog has. */
export function count(one: string, other: string, number: number): string {
  return t(number === 1 ? one : other, { number: number.toLocaleString(i18next.language) });
}

/** The name filter of Compute is a regular expression; what people type is a part of a name. */
export function escapeRegex(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Tables as CSV (RFC 4180): exact values; nothing is rounded or made readable. */
export type CsvCell = string | number | null;

const NUMBER = /^-?\d+(\.\d+)?$/;

/** A spreadsheet would compute what begins so; an apostrophe makes it text. Names come from outside, numbers do not. */
const asText = (text: string): string => (/^[=+\-@\t\r]/.test(text) && !NUMBER.test(text) ? `'${text}` : text);

const cell = (value: CsvCell): string => {
  const text = asText(value === null ? "" : String(value));
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
};

export const toCsv = (header: readonly string[], rows: readonly (readonly CsvCell[])[]): string =>
  [header, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");

/** Hands a text to the viewer as a file. */
export function download(name: string, text: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  Object.assign(document.createElement("a"), { href: address, download: name }).click();
  URL.revokeObjectURL(address);
}

/** One of the server-sent events of a stream. */
export interface StreamEvent { id: string | null; event: string; data: string }

/** Events out of the text of a stream, however it is cut into pieces. Comments, which only say that somebody is there, give none. */
export class EventReader {
  private rest = "";
  private id: string | null = null;
  private event = "";
  private data: string[] = [];

  take(text: string): StreamEvent[] {
    const lines = (this.rest + text).split(/\r\n|\r|\n/);
    this.rest = lines.pop() ?? "";
    const found: StreamEvent[] = [];
    for (const line of lines) {
      if (line === "") {
        if (this.data.length > 0) found.push({ id: this.id, event: this.event || "message", data: this.data.join("\n") });
        this.event = "";
        this.data = [];
      } else {
        this.field(line);
      }
    }
    return found;
  }

  private field(line: string): void {
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "id") this.id = value;
    else if (name === "event") this.event = value;
    else if (name === "data") this.data.push(value);
  }
}

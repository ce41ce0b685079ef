/** Start after this turn of the event loop, unless it was called off by then: React's strict mode starts effects twice, and a console's token opens it once. */
export function soon(start: () => () => void): () => void {
  let end: (() => void) | undefined;
  const timer = setTimeout(() => {
    end = start();
  });
  return () => {
    clearTimeout(timer);
    end?.();
  };
}

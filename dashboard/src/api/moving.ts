/** Whether a volume's, snapshot's, backup's or load balancer's status is one that ends by itself. */
export function moving(status: string): boolean {
  return status === "reserved" || /^(?!error).*ing(-.*)?$/i.test(status) || status.startsWith("PENDING");
}

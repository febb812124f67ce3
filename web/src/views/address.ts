/** What the address of the page says, so that a view can be shared and reloaded. */
const CUSTOMER = "customer";

export const chosenCustomer = (): string | null => new URLSearchParams(window.location.search).get(CUSTOMER);

export function rememberCustomer(userId: string): void {
  const address = new URL(window.location.href);
  address.searchParams.set(CUSTOMER, userId);
  window.history.replaceState(null, "", address);
}

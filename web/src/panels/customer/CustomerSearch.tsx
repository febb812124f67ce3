import { api } from "../../api/client";
import { SearchBox, type Suggestion } from "../../ui/SearchBox";

const SUGGESTIONS = 8;

/** A box for a customer's id that suggests real ones, the biggest spenders first. */
export function CustomerSearch({ onCustomer }: { onCustomer: (userId: string) => void }) {
  return (
    <SearchBox
      name="Customer id"
      placeholder="Customer id"
      listName="Customers"
      action="Show"
      suggest={suggest}
      onChoose={onCustomer}
    />
  );
}

async function suggest(prefix: string, signal: AbortSignal): Promise<Suggestion[]> {
  return (await api.users(prefix, SUGGESTIONS, signal)).map((id) => ({ id }));
}

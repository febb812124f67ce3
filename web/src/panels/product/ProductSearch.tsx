import { api } from "../../api/client";
import { productTitle } from "../../format/product";
import { SearchBox, type Suggestion } from "../../ui/SearchBox";

const SUGGESTIONS = 8;

interface ProductSearchProps {
  action: string;
  onProduct: (productId: string) => void;
}

/** A box for a product's id or words of its name, brand or category; the best-selling ones are suggested first. */
export function ProductSearch({ action, onProduct }: ProductSearchProps) {
  return (
    <SearchBox
      name="Product"
      placeholder="Name, brand, category or id"
      listName="Products"
      action={action}
      suggest={suggest}
      onChoose={onProduct}
    />
  );
}

async function suggest(text: string, signal: AbortSignal): Promise<Suggestion[]> {
  const products = await api.products(text, SUGGESTIONS, signal);
  return products.map((product) => ({ id: product.product_id, title: productTitle(product) }));
}

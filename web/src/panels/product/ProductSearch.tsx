import { useState } from "react";
import { api } from "../../api/client";
import { productTitle } from "../../format/product";
import { SearchBox, type Suggestion } from "../../ui/SearchBox";
import { productTyped } from "./find";

const SUGGESTIONS = 8;

interface ProductSearchProps {
  action: string;
  /** What it throws is told below the box. */
  onProduct: (productId: string) => void | Promise<void>;
}

/** A box for a product's id or words of its name, brand or category; the best-selling ones are suggested first. */
export function ProductSearch({ action, onProduct }: ProductSearchProps) {
  const [problem, setProblem] = useState<string | null>(null);
  const take = async (find: () => string | Promise<string>): Promise<void> => {
    setProblem(null);
    try {
      await onProduct(await find());
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <div>
      <SearchBox
        name="Product"
        placeholder="Name, brand, category or id"
        listName="Products"
        action={action}
        suggest={suggest}
        onChoose={(id) => void take(() => id)}
        onTyped={(text) => void take(() => idTyped(text))}
      />
      {problem !== null && (
        <p className="remark" role="status">
          {problem}
        </p>
      )}
    </div>
  );
}

const idTyped = async (text: string): Promise<string> => (await productTyped(text)).product_id;

async function suggest(text: string, signal: AbortSignal): Promise<Suggestion[]> {
  const products = await api.products(text, SUGGESTIONS, signal);
  return products.map((product) => ({ id: product.product_id, title: productTitle(product) }));
}

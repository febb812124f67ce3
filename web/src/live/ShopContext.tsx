import { createContext, use, useMemo, type ReactNode } from "react";
import { api } from "../api/client";
import { moneyFormat, plainFormat, type MoneyFormat } from "../format/money";
import { useQuery } from "./useQuery";

interface Shop {
  money: MoneyFormat;
  timeZone: string | null;
  version: string | null;
  /** Origins whose pictures of products may be shown. */
  imageHosts: readonly string[];
}

const ShopContext = createContext<Shop>({ money: plainFormat(), timeZone: null, version: null, imageHosts: [] });

/** The shop's currency and calendar. Until the gateway has named them, amounts carry no currency sign. */
export function ShopProvider({ children }: { children: ReactNode }) {
  const { data } = useQuery("config", (signal) => api.config(signal), { everyMs: 10_000, revision: () => "once" });
  const shop = useMemo<Shop>(
    () => ({
      money: data ? moneyFormat(data.currency) : plainFormat(),
      timeZone: data?.time_zone ?? null,
      version: data?.version ?? null,
      imageHosts: data?.image_hosts ?? [],
    }),
    [data],
  );
  return <ShopContext value={shop}>{children}</ShopContext>;
}

export const useShop = (): Shop => use(ShopContext);
export const useMoney = (): MoneyFormat => useShop().money;

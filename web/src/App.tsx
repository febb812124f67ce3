import { lazy, Suspense, useEffect, useMemo, useRef, type ReactNode } from "react";
import { LiveProvider } from "./live/LiveContext";
import { obstacleOf } from "./live/session";
import { SessionProvider, useMay, useSession } from "./live/SessionContext";
import { ShopProvider } from "./live/ShopContext";
import { Header } from "./panels/Header";
import { StreamBanner } from "./panels/StreamBanner";
import { usePath } from "./router/location";
import { routeOf, type Route, type View } from "./router/route";
import { Loading } from "./ui/Panel";
import { ViewBoundary } from "./ui/ViewBoundary";
import { Login } from "./views/Login";
import { NoPersons } from "./views/NoPersons";
import { Nowhere } from "./views/Nowhere";

const Now = lazy(() => import("./views/Overview"));
const CustomerView = lazy(() => import("./views/CustomerView"));
const Models = lazy(() => import("./views/Models"));
const ProductView = lazy(() => import("./views/ProductView"));
const Sales = lazy(() => import("./views/Sales"));
const System = lazy(() => import("./views/System"));

const TITLES: Record<View, string> = {
  now: "Now",
  sales: "Sales",
  customers: "Customer",
  products: "Product",
  models: "Models",
  system: "System",
  nowhere: "No such page",
};

export function App() {
  return (
    <SessionProvider>
      <Admitted />
    </SessionProvider>
  );
}

function Admitted() {
  const obstacle = obstacleOf(useSession());
  return obstacle === null ? <Frame /> : <Login obstacle={obstacle} />;
}

/** The frame that every view shares: the stream, the shop's settings, the header. */
function Frame() {
  const persons = useMay("persons");
  const path = usePath();
  const route = useMemo(() => routeOf(path), [path]);
  return (
    <ShopProvider>
      <LiveProvider>
        <a className="skip-link" href="#content">
          Skip to the content
        </a>
        <Header view={route.view} />
        <StreamBanner />
        <Main view={route.view}>
          <ViewBoundary key={path}>
            <Suspense fallback={<Loading label="Loading the page" />}>{viewOf(route, persons)}</Suspense>
          </ViewBoundary>
        </Main>
      </LiveProvider>
    </ShopProvider>
  );
}

function viewOf(route: Route, persons: boolean): ReactNode {
  switch (route.view) {
    case "now":
      return <Now />;
    case "sales":
      return <Sales />;
    case "customers":
      return persons ? <CustomerView id={route.id} /> : <NoPersons />;
    case "products":
      return <ProductView id={route.id} />;
    case "models":
      return <Models />;
    case "system":
      return <System />;
    case "nowhere":
      return <Nowhere />;
  }
}

/** The place of the view. After a change of view the focus goes there, as it does when a page is loaded. */
function Main({ view, children }: { view: View; children: ReactNode }) {
  const main = useRef<HTMLElement>(null);
  const shown = useRef(view);
  useEffect(() => {
    document.title = `${TITLES[view]} · Tillstream`;
    if (shown.current !== view) main.current?.focus({ preventScroll: true });
    shown.current = view;
  }, [view]);
  return (
    <main id="content" ref={main} tabIndex={-1}>
      <h1 className="visually-hidden">{TITLES[view]}</h1>
      {children}
    </main>
  );
}

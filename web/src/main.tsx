import "@fontsource-variable/inter";
import "./styles/tokens.css";
import "./styles/base.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { applyTheme } from "./theme";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

applyTheme();
createRoot(root).render(
  <StrictMode>
    <App />
  </StrictMode>,
);

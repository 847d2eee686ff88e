// Swagger UI over the contract that this service serves, and a log-in for it.
// The token is in the memory of this page alone: closed or loaded again, the page has forgotten it.
"use strict";

const SCHEME = "operatorToken"; // as the contract names it
const form = document.getElementById("log-in");
const button = form.querySelector("button");
const message = document.getElementById("message");

let session = ""; // who has logged in with the form, and until when

const ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0, // the schemas are there, closed
  validatorUrl: null, // else the document's address goes to a server of theirs
  onComplete: () => {
    button.disabled = false;
    ui.getStore().subscribe(show);
  },
});

// Swagger UI keeps who is logged in, and its own dialog can change it.
function show() {
  const authorized = ui.authSelectors.authorized();
  session = authorized.has(SCHEME) ? session : "";
  form.hidden = authorized.size > 0;
  document.getElementById("logged-in").hidden = !form.hidden;
  document.getElementById("who").textContent = session || "Logged in with a token of your own";
}

form.onsubmit = async (event) => {
  event.preventDefault();
  message.textContent = "";
  button.disabled = true;
  try {
    const credentials = Object.fromEntries(new FormData(form));
    const response = await fetch(form.dataset.path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(credentials),
      signal: AbortSignal.timeout(10_000),
    });
    const answer = await response.json();
    if (response.ok) {
      const end = new Date(Date.now() + answer.expires_in * 1000);
      const until = end.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      session = `Logged in as ${credentials.username} until ${until}`;
      form.reset();
      ui.preauthorizeApiKey(SCHEME, answer.token);
    } else {
      message.textContent = answer.detail;
    }
  } catch {
    message.textContent = "The service does not answer. Try again.";
  }
  button.disabled = false;
};

// Past the long text about all of them.
document.getElementById("to-operations").onclick = () => document.querySelector(".opblock-tag-section")?.scrollIntoView();
// What was sent stands in the page with its token: all of it goes. Not reload(): Swagger UI dislikes its own deep links.
document.getElementById("log-out").onclick = () => location.replace(location.pathname);

// Swagger UI over the contract that this service serves, and a log-in for it.
//
// The token is in the memory of this page alone: closed or loaded again, the page has forgotten it.
"use strict";

const SCHEME = "operatorToken", SERVICE_SCHEME = "serviceToken"; // as the contract names them
const LATER = "The service does not answer. Try again.";

const form = document.getElementById("log-in");
const button = form.querySelector("button");
const message = document.getElementById("message");
const toOperations = document.getElementById("to-operations"); // past the long text about them all

let session = null; // {username, until, timer} of the log-in that the token comes from

const ui = SwaggerUIBundle({
  url: "openapi.json",
  domNode: document.getElementById("swagger-ui"),
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0, // the schemas are there, closed
  persistAuthorization: false,
  validatorUrl: null, // else the document's address goes to a server of theirs
  onComplete: () => {
    button.disabled = false;
    toOperations.hidden = false;
    ui.getStore().subscribe(show);
  },
});

// Swagger UI keeps who is logged in, and its own dialog can change it.
function show() {
  const authorized = ui.authSelectors.authorized();
  const isLoggedIn = authorized.size > 0;
  if (!authorized.has(SCHEME) && session) {
    clearTimeout(session.timer);
    session = null;
  }
  form.hidden = isLoggedIn;
  document.getElementById("logged-in").hidden = !isLoggedIn;
  const operator = session
    ? `Logged in as ${session.username} until ${session.until}`
    : authorized.has(SCHEME) && "Logged in with a token of your own";
  // Swagger UI sends this one wherever it is taken.
  const service = authorized.has(SERVICE_SCHEME) && "Where the service token is taken, that is sent";
  document.getElementById("who").textContent = [operator, service].filter(Boolean).join(". ");
}

async function logIn(event) {
  event.preventDefault();
  message.textContent = "";
  button.disabled = true;
  const { username, password } = Object.fromEntries(new FormData(form));
  try {
    const response = await fetch(form.dataset.path, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ username, password }),
      signal: AbortSignal.timeout(10_000),
    });
    const answer = await response.json();
    if (response.ok) {
      begin(username, answer);
    } else {
      message.textContent = inWords(answer);
    }
  } catch {
    message.textContent = LATER;
  } finally {
    button.disabled = false;
  }
}

// A problem document for people; `errors` says which field is wrong.
function inWords(problem) {
  return problem.errors?.map((error) => `${error.pointer.replace("#/", "")} ${error.detail}`).join("; ") ?? problem.detail;
}

function begin(username, { token, expires_in }) {
  form.reset();
  const end = new Date(Date.now() + expires_in * 1000);
  session = {
    username,
    until: end.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
    timer: setTimeout(expire, expires_in * 1000),
  };
  ui.preauthorizeApiKey(SCHEME, token);
}

function expire() {
  ui.authActions.logout([SCHEME]);
  message.textContent = "The token has expired. Log in again.";
}

form.addEventListener("submit", logIn);
toOperations.addEventListener("click", () => document.querySelector(".opblock-tag-section").scrollIntoView());
// What was sent stands in the page with its token: all of it goes. Not reload(): Swagger UI dislikes its own deep links.
document.getElementById("log-out").addEventListener("click", () => location.replace(location.pathname));

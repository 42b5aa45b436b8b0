// The state of a TypeScript client between requests, in memory.
export const REDIRECT_URI = "http://localhost:9/callback";

export class Keeper {
  constructor(name) {
    this.clientMetadata = { client_name: name, redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: "none" };
  }
  redirectUrl = REDIRECT_URI;
  state = () => "state of the client &=?";
  storedState = () => this.state();
  clientInformation = () => this.client;
  saveClientInformation = (client) => void (this.client = client);
  tokens = () => this.current;
  saveTokens = (tokens) => void (this.current = tokens);
  codeVerifier = () => this.verifier;
  saveCodeVerifier = (verifier) => void (this.verifier = verifier);
  redirectToAuthorization = (url) => void (this.link = url);
}

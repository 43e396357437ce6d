package anyframe

import "context"

// User is the owner of the key.
type User struct {
	ID        int64  `json:"id"`
	GitHubID  int64  `json:"github_id"`
	Login     string `json:"login"`
	Name      string `json:"name"`
	AvatarURL string `json:"avatar_url"`
}

// Me returns the owner of the key.
func (c *Client) Me(ctx context.Context, opts ...CallOption) (*User, error) {
	return fetch[User](ctx, c, get("/api/me"), opts)
}

// TokensService manages keys of this API; see [Client].Tokens.
type TokensService struct{ client *Client }

// List returns the tokens that are not revoked, without their secrets.
func (s *TokensService) List(ctx context.Context, opts ...CallOption) ([]Token, error) {
	return fetchList[Token](ctx, s.client, get("/api/tokens"), opts)
}

// Create creates a token. Only this response contains its secret.
func (s *TokensService) Create(ctx context.Context, name string, opts ...CallOption) (*TokenCreated, error) {
	r := post("/api/tokens").require("name", name != "").json(struct {
		Name string `json:"name"`
	}{name})
	return fetch[TokenCreated](ctx, s.client, r, opts)
}

// Revoke revokes the token. The API then refuses it with 401.
func (s *TokensService) Revoke(ctx context.Context, id int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/tokens/{token_id}", id), opts)
}

// Token describes a key of this API without its secret.
type Token struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Prefix    string `json:"prefix"`
	Last4     string `json:"last4"`
	CreatedAt Time   `json:"created_at"`
	RevokedAt Time   `json:"revoked_at"` // zero while it is valid
}

// TokenCreated is a new key of this API.
type TokenCreated struct {
	Token
	Secret Secret `json:"token"` // the key itself; read it with Reveal
}

// CredentialsService manages the credentials that agents log in with elsewhere; see
// [Client].Credentials.
type CredentialsService struct{ client *Client }

// Get returns which credentials are set, without showing them.
func (s *CredentialsService) Get(ctx context.Context, opts ...CallOption) (*Credentials, error) {
	return fetch[Credentials](ctx, s.client, get("/api/credentials"), opts)
}

// SetClaude stores a Claude token, for agents with [RuntimeClaude].
func (s *CredentialsService) SetClaude(ctx context.Context, token Secret, opts ...CallOption) error {
	return s.set(ctx, put("/api/credentials/claude"), token, opts)
}

// SetCodex stores an OpenAI token, for agents with [RuntimeCodex].
func (s *CredentialsService) SetCodex(ctx context.Context, token Secret, opts ...CallOption) error {
	return s.set(ctx, put("/api/credentials/codex"), token, opts)
}

// SetGitHub stores a GitHub token, for private repositories.
func (s *CredentialsService) SetGitHub(ctx context.Context, token Secret, opts ...CallOption) error {
	return s.set(ctx, put("/api/credentials/github"), token, opts)
}

func (s *CredentialsService) set(ctx context.Context, r request, token Secret, opts []CallOption) error {
	return s.client.send(ctx, r.token(token), opts)
}

// ClearClaude deletes the Claude token.
func (s *CredentialsService) ClearClaude(ctx context.Context, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/credentials/claude"), opts)
}

// ClearCodex deletes the OpenAI token.
func (s *CredentialsService) ClearCodex(ctx context.Context, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/credentials/codex"), opts)
}

// ClearGitHub deletes the GitHub token.
func (s *CredentialsService) ClearGitHub(ctx context.Context, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/credentials/github"), opts)
}

// token sets a body that contains only a token.
func (r request) token(token Secret) request {
	return r.require("token", token.Reveal() != "").hide(token.Reveal()).json(struct {
		Token string `json:"token"`
	}{token.Reveal()})
}

// Credentials lists which credentials are set. Credentials unknown to the server
// are not set.
type Credentials struct {
	Claude CredentialPart `json:"claude"`
	Codex  CredentialPart `json:"codex"`
	GitHub CredentialPart `json:"github"`
}

// CredentialPart describes one credential without its secret.
type CredentialPart struct {
	Set       bool   `json:"set"`
	Last4     string `json:"last4"` // "" if it is not set
	UpdatedAt Time   `json:"updated_at"`
}

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

// TokensService is the keys of this API; see [Client].Tokens.
type TokensService struct{ client *Client }

// List returns the tokens that are not revoked, without their secrets.
func (s *TokensService) List(ctx context.Context, opts ...CallOption) ([]Token, error) {
	return fetchList[Token](ctx, s.client, get("/api/tokens"), opts)
}

// Create makes a token. Its secret is in this answer and never again.
func (s *TokensService) Create(ctx context.Context, name string, opts ...CallOption) (*TokenCreated, error) {
	r := post("/api/tokens").require("name", name != "").json(struct {
		Name string `json:"name"`
	}{name})
	return fetch[TokenCreated](ctx, s.client, r, opts)
}

// Revoke makes the token one that is refused with 401.
func (s *TokensService) Revoke(ctx context.Context, id int64, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/tokens/{token_id}", id), opts)
}

// Token is a key of this API, as far as it can be seen.
type Token struct {
	ID        int64  `json:"id"`
	Name      string `json:"name"`
	Prefix    string `json:"prefix"`
	Last4     string `json:"last4"`
	CreatedAt Time   `json:"created_at"`
	RevokedAt Time   `json:"revoked_at"` // zero while it is good
}

// TokenCreated is a new key of this API.
type TokenCreated struct {
	Token
	Secret Secret `json:"token"` // the key itself, by Reveal
}

// CredentialsService is what agents log in with at others; see
// [Client].Credentials.
type CredentialsService struct{ client *Client }

// Get says which credentials are set, without showing them.
func (s *CredentialsService) Get(ctx context.Context, opts ...CallOption) (*Credentials, error) {
	return fetch[Credentials](ctx, s.client, get("/api/credentials"), opts)
}

// SetClaude keeps a Claude token, for agents of [RuntimeClaude].
func (s *CredentialsService) SetClaude(ctx context.Context, token Secret, opts ...CallOption) error {
	return s.set(ctx, put("/api/credentials/claude"), token, opts)
}

// SetCodex keeps an OpenAI token, for agents of [RuntimeCodex].
func (s *CredentialsService) SetCodex(ctx context.Context, token Secret, opts ...CallOption) error {
	return s.set(ctx, put("/api/credentials/codex"), token, opts)
}

// SetGitHub keeps a GitHub token, for private repositories.
func (s *CredentialsService) SetGitHub(ctx context.Context, token Secret, opts ...CallOption) error {
	return s.set(ctx, put("/api/credentials/github"), token, opts)
}

func (s *CredentialsService) set(ctx context.Context, r request, token Secret, opts []CallOption) error {
	return s.client.send(ctx, r.token(token), opts)
}

// ClearClaude forgets the Claude token.
func (s *CredentialsService) ClearClaude(ctx context.Context, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/credentials/claude"), opts)
}

// ClearCodex forgets the OpenAI token.
func (s *CredentialsService) ClearCodex(ctx context.Context, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/credentials/codex"), opts)
}

// ClearGitHub forgets the GitHub token.
func (s *CredentialsService) ClearGitHub(ctx context.Context, opts ...CallOption) error {
	return s.client.send(ctx, remove("/api/credentials/github"), opts)
}

// token sets a body with nothing but a token.
func (r request) token(token Secret) request {
	return r.require("token", token.Reveal() != "").hide(token.Reveal()).json(struct {
		Token string `json:"token"`
	}{token.Reveal()})
}

// Credentials say which credentials are set. Those a server does not know are
// not set.
type Credentials struct {
	Claude CredentialPart `json:"claude"`
	Codex  CredentialPart `json:"codex"`
	GitHub CredentialPart `json:"github"`
}

// CredentialPart is one credential, as far as it can be seen.
type CredentialPart struct {
	Set       bool   `json:"set"`
	Last4     string `json:"last4"` // "" when not set
	UpdatedAt Time   `json:"updated_at"`
}

package anyframe_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
)

// A connector is shared by all agents; its catalog entry says how to install it.
func ExampleConnectorsService() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()

	catalog, err := client.Connectors.ListCatalog(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, entry := range catalog {
		switch {
		case entry.ComingSoon || entry.Installed:
			continue
		case entry.SetupKind == anyframe.SetupOAuthDCR, entry.SetupKind == anyframe.SetupOAuthPreregistered:
			authorize, err := client.Connectors.InstallCatalogOAuth(ctx, entry.Slug)
			if err != nil {
				fmt.Println(err)
				return
			}
			// A person authorizes at authorize.AuthorizeURL.
			cp.FinishOAuth(authorize.State)
		case entry.SetupKind == anyframe.SetupBearerToken:
			if _, err := client.Connectors.InstallCatalogBearer(ctx, entry.Slug, anyframe.NewSecret("sntrys_1234567890")); err != nil {
				fmt.Println(err)
				return
			}
		}
	}
	connectors, err := client.Connectors.List(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range connectors {
		fmt.Println(c.DisplayName, c.AuthKind, c.IsAuthorized)
	}
	// Unordered output:
	// Linear oauth_dcr true
	// GitHub oauth_preregistered true
	// Sentry bearer_token true
}

// A server that is in no catalog is asked for the ways to connect to it.
func ExampleConnectorsService_Discover() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	const server = "https://mcp.example.com/mcp"

	found, err := client.Connectors.Discover(ctx, server)
	if err != nil {
		fmt.Println(err)
		return
	}
	if found.AuthorizationEndpoint != "" {
		_, err = client.Connectors.CreateOAuth(ctx, anyframe.CreateOAuthConnectorParams{
			MCPURL: server, DisplayName: found.SuggestedDisplayName,
		})
	} else {
		_, err = client.Connectors.CreateBearer(ctx, anyframe.CreateBearerConnectorParams{
			MCPURL: server, DisplayName: found.SuggestedDisplayName, Token: anyframe.NewSecret("bearer-secret"),
		})
	}
	fmt.Println(err)
	// Output: <nil>
}

// An agent uses the connectors that are enabled for it.
func ExampleAgentConnectorsService() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	connector, err := client.Connectors.CreateBearer(ctx, anyframe.CreateBearerConnectorParams{
		MCPURL: "https://mcp.example.com", DisplayName: "Example", Token: anyframe.NewSecret("bearer-secret"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	toggle, err := client.Agents.Connectors.Set(ctx, 7, connector.ID, false)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(toggle.DisplayName, toggle.Enabled)
	// Output: Example false
}

// Credentials of agents are set and never shown again.
func ExampleCredentialsService() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	if err := client.Credentials.SetClaude(ctx, anyframe.NewSecret("sk-ant-oat-0123456789")); err != nil {
		fmt.Println(err)
		return
	}
	credentials, err := client.Credentials.Get(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(credentials.Claude.Set, credentials.Claude.Last4, credentials.GitHub.Set)
	// Output: true 6789 false
}

// A token is shown once, to the caller that creates it.
func ExampleTokensService() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	created, err := client.Tokens.Create(ctx, "ci-bot")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.HasPrefix(created.Secret.String(), "afm_…"))       // in a log
	fmt.Println(strings.HasSuffix(created.Secret.Reveal(), created.Last4)) // in a vault
	if err := client.Tokens.Revoke(ctx, created.ID); err != nil {
		fmt.Println(err)
	}
	// Output:
	// true
	// true
}

package anyframe_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// Take over a session that a person started in the web UI: both use the same agent
// over the same channel.
func Example_takeOverASession() {
	ctx := context.Background()
	client, _, stop := plane(func(c *anyframetest.Chat) { c.Say("So far I have read the code.") })
	defer stop()
	running(ctx, client) // in place of that person

	sessions, err := client.Sessions.List(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, session := range sessions {
		if session.Status != anyframe.StatusRunning {
			continue
		}
		message := anyframe.Message{Prompt: "Summarize what you've done so far."}
		for event, err := range client.Sessions.Turn(ctx, session.ID, message, anyframe.StreamOptions{}) {
			if err != nil {
				fmt.Println(err)
				return
			}
			if payload, err := event.Payload(); err == nil {
				if p, ok := payload.(anyframe.Assistant); ok && !p.Delta {
					fmt.Println(p.Text())
				}
			}
		}
		break
	}
	// Output: So far I have read the code.
}

// Power a chat widget. The browser calls your server, and your server, which alone
// has the key, calls the agent. One session per visitor.
func Example_chatWidget() {
	client, _, stop := plane(
		func(c *anyframetest.Chat) { c.Say("You said " + c.Prompt() + ".") }, anyframetest.WithWordsPerDelta(10),
	)
	defer stop()
	sessionOf := map[string]string{"visitor": running(context.Background(), client)} // by cookie, say

	widget := http.NewServeMux()
	widget.HandleFunc("POST /message", func(w http.ResponseWriter, r *http.Request) {
		text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 16<<10))
		if err != nil {
			http.Error(w, "too long", http.StatusRequestEntityTooLarge)
			return
		}
		if _, err := client.Sessions.Message(r.Context(), sessionOf["visitor"], anyframe.Message{Prompt: string(text)}); err != nil {
			http.Error(w, "try again", http.StatusBadGateway) // the text of err is not for visitors
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	widget.HandleFunc("GET /events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		// After a reconnect the browser sends its position.
		options := anyframe.StreamOptions{LastEventID: r.Header.Get("Last-Event-ID")}
		var reply anyframe.Reply
		for event, err := range client.Sessions.Follow(r.Context(), sessionOf["visitor"], options) {
			if err != nil {
				return // the browser reconnects
			}
			if text := reply.Add(event); text != "" { // other events are not for the visitor
				fmt.Fprintf(w, "id: %s\ndata: %q\n\n", event.ID, text)
			}
			if event.Type() == anyframe.TypeResult {
				fmt.Fprintf(w, "id: %s\nevent: done\ndata: {}\n\n", event.ID)
			}
			_ = http.NewResponseController(w).Flush()
		}
	})

	// A visitor.
	server := httptest.NewServer(widget)
	defer server.Close()
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+"/message", strings.NewReader("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	if resp, err := http.DefaultClient.Do(post); err == nil {
		fmt.Println(resp.Status)
		_ = resp.Body.Close()
	}
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/events", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	stream, err := http.DefaultClient.Do(get)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stream.Body.Close()
	var page strings.Builder
	for buf := make([]byte, 1024); !strings.Contains(page.String(), "event: done"); {
		n, err := stream.Body.Read(buf)
		page.Write(buf[:n])
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	fmt.Println(strings.Count(page.String(), `data: "You said hello."`))
	// Output:
	// 202 Accepted
	// 1
}

// Start from scratch: create an agent, build it, boot a session, send a message.
func Example_buildAnAgent() {
	ctx := context.Background()
	client, _, stop := plane(nil, anyframetest.WithScript(func(c *anyframetest.Chat) { c.Say("Ready.") }))
	defer stop()

	agent, err := client.Agents.Create(ctx, anyframe.CreateAgentParams{
		Name: "demo", RepoURL: new("tinyhq/box"), InstallCmd: new("bun install"),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := client.Agents.BuildAndWait(ctx, agent.ID, anyframe.BuildParams{}, anyframe.WaitOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: agent.ID})
	if err != nil {
		fmt.Println(err)
		return
	}
	if session, err = client.Sessions.WaitUntilRunning(ctx, session.ID, anyframe.WaitOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.Status, session.SandboxURL != "")
	var reply anyframe.Reply
	for event, err := range client.Sessions.Turn(ctx, session.ID, anyframe.Message{Prompt: "Hello"}, anyframe.StreamOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		reply.Add(event)
	}
	fmt.Println(reply.String())
	// Output:
	// running true
	// Ready.
}

package anyframe_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
)

// exampleClient is a client of a server that plays one short conversation. A
// program would call New without options instead.
func exampleClient() (client *anyframe.Client, stop func()) {
	mux := http.NewServeMux()
	session := func(status string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"id":"s1","agent_id":7,"status":%q}`, status)
		}
	}
	mux.HandleFunc("GET /api/me", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":1,"github_id":2,"login":"ann"}`)
	})
	mux.HandleFunc("POST /api/sessions", session("booting"))
	mux.HandleFunc("GET /api/sessions/s1", session("running"))
	mux.HandleFunc("POST /api/sessions/s1/terminate", session("snapshotting"))
	mux.HandleFunc("POST /api/sessions/s1/message", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ok":true,"seq":1}`)
	})
	mux.HandleFunc("POST /api/sessions/s1/respond", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"ok":true}`)
	})
	mux.HandleFunc("GET /api/sessions/s1/transcript", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `[{"seq":1,"payload":{"type":"user_message","text":"Hello"},"created_at":"2025-01-01T00:00:00Z"}]`)
	})
	mux.HandleFunc("GET /api/sessions/s1/events", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, strings.Join([]string{
			`id: 2` + "\n" + `data: {"type":"permission_request","tool_name":"Bash","request_id":"r1","tool_use_id":"t1"}`,
			`id: 3` + "\n" + `data: {"type":"assistant","content":[{"type":"text","text":"Hello yourself."}]}`,
			`id: 4` + "\n" + `data: {"type":"result"}`, "",
		}, "\n\n"))
	})
	srv := httptest.NewServer(mux)
	client, err := anyframe.New(
		anyframe.WithAPIKey("afm_example"), anyframe.WithBaseURL(srv.URL), anyframe.WithDotEnv(""),
	)
	if err != nil {
		log.Fatal(err)
	}
	return client, srv.Close
}

// A whole conversation: a session, one turn, what the agent does, the end.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, stop := exampleClient()
	defer stop()

	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: 7})
	if err != nil {
		fmt.Println(err)
		return
	}
	if session, err = client.Sessions.WaitUntilRunning(ctx, session.ID, anyframe.WaitOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	sent, err := client.Sessions.Message(ctx, session.ID, anyframe.Message{Prompt: "Hello"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("sent as", *sent.Seq)

	for event, err := range client.Sessions.Follow(ctx, session.ID, anyframe.StreamOptions{LastEventID: "1"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		payload, err := event.Payload()
		if err != nil {
			continue // one bad event is no reason to stop
		}
		switch p := payload.(type) {
		case anyframe.Assistant:
			fmt.Println("agent:", p.Blocks[0].Text)
		case anyframe.PermissionRequest:
			fmt.Println("may it use", p.ToolName)
			body := map[string]string{"decision": "approve", "tool_use_id": p.ToolUseID}
			if _, err := client.Sessions.Respond(ctx, session.ID, body); err != nil {
				fmt.Println(err)
				return
			}
		}
		if event.Type() == anyframe.TypeResult {
			break // leaving the loop closes the stream
		}
	}
	if _, err := client.Sessions.Terminate(ctx, session.ID); err != nil {
		fmt.Println(err)
		return
	}
	// Output:
	// sent as 1
	// may it use Bash
	// agent: Hello yourself.
}

// Me is a cheap way to see whether a key is good.
func ExampleClient_Me() {
	client, stop := exampleClient()
	defer stop()
	user, err := client.Me(context.Background())
	if errors.Is(err, anyframe.ErrUnauthorized) {
		fmt.Println("the key is not good")
		return
	}
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(user.Login)
	// Output: ann
}

// TranscriptAll pages through everything that was said.
func ExampleSessionsService_TranscriptAll() {
	client, stop := exampleClient()
	defer stop()
	for row, err := range client.Sessions.TranscriptAll(context.Background(), "s1", 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(row.Seq, row.Event().Type())
	}
	// Output: 1 user_message
}

// Sent tells a message that may have arrived from one that cannot have.
func ExampleError_Sent() {
	client, err := anyframe.New(
		anyframe.WithAPIKey("afm_example"), anyframe.WithDotEnv(""),
		anyframe.WithBaseURL("http://127.0.0.1:1"), // nobody listens there
		anyframe.WithRetry(anyframe.RetryPolicy{MaxRetries: -1}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Sessions.Message(context.Background(), "s1", anyframe.Message{Prompt: "Hello"})
	if e, ok := errors.AsType[*anyframe.Error](err); ok && !e.Sent() {
		fmt.Println("not sent: it is safe to try again")
	}
	// Output: not sent: it is safe to try again
}

package anyframe_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// plane returns a client, and a control plane for it with agent 7. A program calls
// New without options and uses the environment.
func plane(script anyframetest.Script, opts ...anyframetest.Option) (
	client *anyframe.Client, cp *anyframetest.Server, stop func(),
) {
	cp = anyframetest.New(append(opts, anyframetest.WithAgent(7, script))...)
	if err := cp.Listen("127.0.0.1:0"); err != nil {
		log.Fatal(err)
	}
	client, err := anyframe.New(
		anyframe.WithAPIKey(cp.Key()), anyframe.WithBaseURL(cp.URL()), anyframe.WithDotEnv(""),
	)
	if err != nil {
		log.Fatal(err)
	}
	return client, cp, cp.Close
}

// running returns a running session of agent 7.
func running(ctx context.Context, client *anyframe.Client) (id string) {
	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: 7})
	if err != nil {
		log.Fatal(err)
	}
	session, err = client.Sessions.WaitUntilRunning(ctx, session.ID, anyframe.WaitOptions{Interval: time.Millisecond})
	if err != nil {
		log.Fatal(err)
	}
	return session.ID
}

// A whole conversation: a session, one turn in which the agent asks, the end.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client, _, stop := plane(func(c *anyframetest.Chat) {
		if c.Permit("Bash", map[string]any{"command": "ls"}) {
			c.Say("There are three files.")
		}
	})
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
	var reply anyframe.Reply
	message := anyframe.Message{Prompt: "What is here?"}
	for event, err := range client.Sessions.Turn(ctx, session.ID, message, anyframe.StreamOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		reply.Add(event)
		payload, err := event.Payload()
		if err != nil {
			continue // one invalid event is no reason to stop
		}
		switch p := payload.(type) {
		case anyframe.PermissionRequest:
			fmt.Println("may it use", p.ToolName)
			answer := map[string]any{"decision": anyframe.DecisionApprove, "tool_use_id": p.ToolUseID}
			if _, err := client.Sessions.Respond(ctx, session.ID, answer); err != nil {
				fmt.Println(err)
				return
			}
		case anyframe.Failure:
			fmt.Println("the turn failed:", p.Error)
		}
	}
	fmt.Println("agent:", reply.String())
	if _, err := client.Sessions.Terminate(ctx, session.ID); err != nil {
		fmt.Println(err)
		return
	}
	// Output:
	// may it use Bash
	// agent: There are three files.
}

// Me is a cheap way to check a key.
func ExampleClient_Me() {
	client, _, stop := plane(nil)
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
	fmt.Println(user.Login != "")
	// Output: true
}

// TranscriptAll pages through all events of a session.
func ExampleSessionsService_TranscriptAll() {
	ctx := context.Background()
	client, cp, stop := plane(func(c *anyframetest.Chat) { c.Say("Hello.") }, anyframetest.WithUnnumberedDeltas())
	defer stop()
	id := running(ctx, client)
	if _, err := client.Sessions.Message(ctx, id, anyframe.Message{Prompt: "Hi"}); err != nil {
		fmt.Println(err)
		return
	}
	_ = cp.Wait(ctx, func() bool { return len(cp.Log(id)) == 3 }) // until the turn is over
	for row, err := range client.Sessions.TranscriptAll(ctx, id, 0) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(row.Seq, row.Event().Type())
	}
	// Output:
	// 1 user_message
	// 2 assistant
	// 3 result
}

// Every failed call returns an *Error, which matches sentinels.
func ExampleError() {
	client, _, stop := plane(nil)
	defer stop()
	_, err := client.Agents.Get(context.Background(), 999)
	fmt.Println(errors.Is(err, anyframe.ErrNotFound), err)

	// Invalid arguments are reported before anything is sent.
	_, err = client.Agents.Create(context.Background(), anyframe.CreateAgentParams{})
	fmt.Println(errors.Is(err, anyframe.ErrInvalid), err)
	if e, ok := errors.AsType[*anyframe.Error](err); ok {
		fmt.Println(e.Attempts, e.Fields[0].Loc, e.Fields[0].Msg)
	}
	// Output:
	// true anyframe: GET /api/agents/999: [404] Agent not found
	// true anyframe: POST /api/agents: name is required
	// 0 [body name] is required
}

// Sent distinguishes a message that may have arrived from one that cannot have.
func ExampleError_Sent() {
	client, err := anyframe.New(
		anyframe.WithAPIKey("afm_example"), anyframe.WithDotEnv(""),
		anyframe.WithBaseURL("http://127.0.0.1:1"), // nothing listens there
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

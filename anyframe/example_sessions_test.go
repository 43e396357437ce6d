package anyframe_test

import (
	"context"
	"fmt"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// Stop and resume a session, or start a new one from one of its snapshots.
func ExampleSessionsService() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	id := running(ctx, client)

	session, err := client.Sessions.Terminate(ctx, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.Status)
	if session, err = client.Sessions.EnsureRunning(ctx, id, anyframe.WaitOptions{Interval: time.Millisecond}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.Status, session.ID == id)

	snapshots, err := client.Sessions.Snapshots(ctx, id)
	if err != nil {
		fmt.Println(err)
		return
	}
	fork, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{
		AgentID: 7, ResumeFromSnapshotID: new(snapshots[0].ID), IdleTimeout: new(10 * time.Minute),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(fork.Status, fork.ID == id)
	// Output:
	// snapshotting
	// running true
	// booting false
}

// A setup session is prepared by hand and becomes the base of other sessions.
func ExampleSessionsService_SaveAsBase() {
	ctx := context.Background()
	client, _, stop := plane(func(c *anyframetest.Chat) { c.Say("Installed.") })
	defer stop()

	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: 7, IsSetupSession: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	if session, err = client.Sessions.WaitUntilRunning(ctx, session.ID, anyframe.WaitOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	// … clone, install, warm caches …
	base, err := client.Sessions.SaveAsBase(ctx, session.ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(base.WarmupImageID != "")
	// Output: true
}

// WaitUntilRunning and EnsureRunning report every poll through OnPoll.
func ExampleSessionsService_WaitUntilRunning() {
	ctx := context.Background()
	client, _, stop := plane(nil)
	defer stop()
	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: 7})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = client.Sessions.WaitUntilRunning(ctx, session.ID, anyframe.WaitOptions{
		Timeout: time.Minute,
		OnPoll:  func(status string, _ time.Duration) { fmt.Println(status) },
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: running
}

// Call EnsureRunning before each turn.
func ExampleSessionsService_EnsureRunning() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	id := running(ctx, client)
	cp.Sleep(id) // it was idle for too long

	session, err := client.Sessions.EnsureRunning(ctx, id, anyframe.WaitOptions{Interval: time.Millisecond})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(session.Status)
	// Output: running
}

// Turn sends a question and yields its answer.
func ExampleSessionsService_Turn() {
	ctx := context.Background()
	client, _, stop := plane(func(c *anyframetest.Chat) { c.Say("You said " + c.Prompt() + ".") })
	defer stop()
	id := running(ctx, client)

	var reply anyframe.Reply
	for event, err := range client.Sessions.Turn(ctx, id, anyframe.Message{Prompt: "hello"}, anyframe.StreamOptions{}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Print(reply.Add(event)) // as it arrives
	}
	fmt.Println()
	// Output: You said hello.
}

// Follow continues after a broken connection.
func ExampleSessionsService_Follow() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	id := running(ctx, client)
	note := func(n int) { cp.Post(id, map[string]any{"type": "note", "n": n}) }
	note(1)

	options := anyframe.StreamOptions{
		LastEventID: "", // or the last event of an earlier run, to continue there
		OnReconnect: func(r anyframe.Reconnect) { fmt.Println("again, after", r.LastEventID) },
	}
	for event, err := range client.Sessions.Follow(ctx, id, options) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.Seq, string(event.Data))
		switch event.Seq {
		case 1:
			cp.CutStreams() // the network fails …
			note(2)         // … and the agent continues
		case 2:
			return // leaving the loop closes the stream
		}
	}
	// Output:
	// 1 {"n":1,"type":"note"}
	// again, after 1
	// 2 {"n":2,"type":"note"}
}

// With OnIdle a consumer writes events in batches without delaying any of them.
func ExampleStreamOptions_onIdle() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	id := running(ctx, client)
	for n := range 3 {
		cp.Post(id, map[string]any{"type": "note", "n": n})
	}

	ctx, cancel := context.WithCancel(ctx)
	var batch []anyframe.Event
	total := 0
	options := anyframe.StreamOptions{OnIdle: func() {
		total += len(batch) // for example in one transaction
		batch = nil
		if total == 3 {
			cancel()
		}
	}}
	for event, err := range client.Sessions.Follow(ctx, id, options) {
		if err != nil {
			break // here: the context was canceled
		}
		batch = append(batch, event)
	}
	fmt.Println(total, "events written")
	// Output: 3 events written
}

// Events reads one connection, for programs that keep their own checkpoint.
func ExampleSessionsService_Events() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	id := running(ctx, client)
	cp.Post(id, map[string]any{"type": "note"})
	cp.Post(id, map[string]any{"type": "result"})

	for event, err := range client.Sessions.Events(ctx, id, anyframe.StreamOptions{LastEventID: "1"}) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(event.ID, event.Type())
		if event.Type() == anyframe.TypeResult {
			break
		}
	}
	// Output: 2 result
}

// Reply handles fragments and the complete text that repeats them.
func ExampleReply() {
	var reply anyframe.Reply
	for _, data := range []string{
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"Hel"}]}`,
		`{"type":"assistant","delta":true,"content":[{"type":"text","text":"lo."}]}`,
		`{"type":"assistant","content":[{"type":"text","text":"Hello."}]}`,
		`{"type":"assistant","content":[{"type":"tool_use","name":"Bash"}]}`,
		`{"type":"assistant","content":[{"type":"text","text":"Done."}]}`,
	} {
		reply.Add(anyframe.Event{Data: []byte(data)})
	}
	fmt.Println(reply.String())
	// Output:
	// Hello.
	//
	// Done.
}

// Previews are servers inside the sandbox.
func ExamplePreviewsService() {
	ctx := context.Background()
	client, cp, stop := plane(nil)
	defer stop()
	agent, err := client.Agents.Create(ctx, anyframe.CreateAgentParams{Name: "shop", PreviewPorts: []int{3000}})
	if err != nil {
		fmt.Println(err)
		return
	}
	session, err := client.Sessions.Create(ctx, anyframe.CreateSessionParams{AgentID: agent.ID})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err = client.Sessions.WaitUntilRunning(ctx, session.ID, anyframe.WaitOptions{}); err != nil {
		fmt.Println(err)
		return
	}
	previews := client.Sessions.Previews
	started, err := previews.Start(ctx, session.ID, anyframe.PreviewSpec{Cmd: "bun dev", Name: new("web")})
	if err != nil {
		fmt.Println(err)
		return
	}
	if !started.OK { // the sandbox refused, which is not an error of the call
		fmt.Println(started.Error)
		return
	}
	fmt.Println("port", *started.Port)

	cp.LogPreview(session.ID, *started.Port, "ready")
	logs, err := previews.Logs(ctx, session.ID, anyframe.PreviewRef{Name: new("web")}, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(logs.Lines)
	if _, err := previews.Stop(ctx, session.ID, anyframe.PreviewRef{Port: started.Port}); err != nil {
		fmt.Println(err)
	}
	// Output:
	// port 3000
	// [ready]
}

// An operator's list: which sessions wait, and for what.
func ExampleAttentionService() {
	ctx := context.Background()
	client, cp, stop := plane(func(c *anyframetest.Chat) { c.Ask("Which colour?", "red", "green") })
	defer stop()
	id := running(ctx, client)
	if _, err := client.Sessions.Message(ctx, id, anyframe.Message{Prompt: "Paint it."}); err != nil {
		fmt.Println(err)
		return
	}
	_ = cp.Wait(ctx, func() bool { return len(cp.Log(id)) == 2 }) // until it asks

	items, err := client.Attention.List(ctx, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, item := range items {
		if item.Kind != anyframe.AttentionPending {
			continue
		}
		payload, err := item.Event().Payload()
		if err != nil {
			fmt.Println(err)
			return
		}
		if q, ok := payload.(anyframe.Question); ok {
			fmt.Println(item.AgentID, "asks:", q.Question)
		}
	}
	// Output: 7 asks: Which colour?
}

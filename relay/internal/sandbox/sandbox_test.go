package sandbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay/internal/sandbox"
	"github.com/anyframe-relay/relay/tools/ports"
)

// operate starts a scripted control plane and returns an operator of its sandboxes.
func operate(t *testing.T) (*anyframetest.Server, *sandbox.Operator) {
	t.Helper()
	plane := anyframetest.New()
	t.Cleanup(plane.Close)
	if err := ports.Try(t.Context(), plane.Listen); err != nil { // no other server may take its port while it is down
		t.Fatal(err)
	}
	client, err := anyframe.New(anyframe.WithAPIKey(plane.Key()), anyframe.WithBaseURL(plane.URL()), anyframe.WithDotEnv(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	return plane, &sandbox.Operator{Client: client, AgentID: plane.AgentID, IdleTimeout: time.Minute, Timeout: 10 * time.Second}
}

// up creates a sandbox and waits until it runs.
func up(t *testing.T, o *sandbox.Operator) (id string) {
	t.Helper()
	id, unsure, err := o.Create(t.Context())
	if err != nil || unsure {
		t.Fatalf("create: got unsure %v, %v", unsure, err)
	}
	if err := o.AwaitRunning(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	return id
}

func status(plane *anyframetest.Server, id string) string {
	info, _ := plane.Session(id)
	return info.Status
}

func TestOperator_Life_RunsSleepsAndRunsAgain(t *testing.T) {
	t.Parallel()
	plane, o := operate(t)
	id := up(t, o)
	if down, err := o.IsDown(t.Context(), id); down || err != nil {
		t.Errorf("running: got down %v, %v", down, err)
	}
	if wasDown, err := o.Resume(t.Context(), id); wasDown || err != nil {
		t.Errorf("resume while it runs: got was down %v, %v, want it left running", wasDown, err)
	}
	if err := o.Down(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got := status(plane, id); got != anyframetest.StatusTerminated {
		t.Errorf("got status %q, want terminated", got)
	}
	if wasDown, err := o.Resume(t.Context(), id); !wasDown || err != nil {
		t.Errorf("resume: got was down %v, %v, want it resumed", wasDown, err)
	}
	if info, _ := plane.Session(id); info.IdleTimeout != time.Minute || info.Status != anyframetest.StatusRunning {
		t.Errorf("got %+v, want it running with our idle timeout", info)
	}
}

// Without a response it is unknown whether the sandbox was created, so it is not created
// again.
// A sandbox that is resumed may go to sleep again before anyone has seen it running.
func TestResume_AsleepAgain_ResumedOnceMore(t *testing.T) {
	t.Parallel()
	plane, o := operate(t)
	id := up(t, o)
	if err := o.Down(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	// The response to the resume arrives when the sandbox sleeps again.
	plane.Inject(anyframetest.Fault{Kind: anyframetest.Late, Op: anyframetest.OpResume, Delay: time.Second, Times: 1})
	resumed := make(chan error, 1)
	go func() {
		_, err := o.Resume(t.Context(), id)
		resumed <- err
	}()
	plane.WaitFor(t, func() bool { return status(plane, id) == anyframetest.StatusRunning })
	plane.Sleep(id)
	if err := <-resumed; err != nil || status(plane, id) != anyframetest.StatusRunning {
		t.Errorf("got %v and status %q, want it running", err, status(plane, id))
	}
	if n := plane.Count(anyframetest.OpResume); n != 2 {
		t.Errorf("resumes: got %d, want 2", n)
	}
}

func TestCreate_AnswerLost_UnsureAndNotRepeated(t *testing.T) {
	t.Parallel()
	plane, o := operate(t)
	plane.Inject(anyframetest.Fault{Kind: anyframetest.LoseAnswer, Op: anyframetest.OpCreate, Times: 1})
	if id, unsure, err := o.Create(t.Context()); !unsure || err == nil || id != "" {
		t.Errorf("got %q, unsure %v, %v, want an error that is unsure", id, unsure, err)
	}
	if n := len(plane.Sessions()); n != 1 {
		t.Errorf("got %d sandboxes, want the one", n)
	}
}

func TestCreate_AnyFrameDown_SureThatNoneWasMade(t *testing.T) {
	t.Parallel()
	plane, o := operate(t)
	plane.Down()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, unsure, err := o.Create(ctx); unsure || err == nil {
		t.Errorf("got unsure %v, %v, want an error that is not", unsure, err)
	}
}

func TestTerminate_NothingToTerminate_Done(t *testing.T) {
	t.Parallel()
	plane, o := operate(t)
	id := up(t, o)
	for range 2 { // the second time it is down, which AnyFrame answers with 409
		if err := o.Down(t.Context(), id); err != nil {
			t.Errorf("got %v, want it down", err)
		}
	}
	plane.Delete(id)
	if err := o.Terminate(t.Context(), id); err != nil {
		t.Errorf("of one that is gone: got %v, want it done", err)
	}
	if down, err := o.IsDown(t.Context(), id); !down || err != nil {
		t.Errorf("of one that is gone: got down %v, %v, want it down", down, err)
	}
}

func TestTerminateSoon_AnyFrameInTrouble_Repeated(t *testing.T) {
	t.Parallel()
	plane, o := operate(t)
	id := up(t, o)
	plane.Inject(anyframetest.Fault{Kind: anyframetest.Respond, Status: 503, Op: anyframetest.OpTerminate, Times: 2})
	if err := o.TerminateSoon(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := o.WaitDown(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if n := plane.Count(anyframetest.OpTerminate); n != 3 {
		t.Errorf("got %d calls, want 3", n)
	}
}

func TestWaitDown_StaysUp_EndsWithContext(t *testing.T) {
	t.Parallel()
	_, o := operate(t)
	id := up(t, o)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := o.WaitDown(ctx, id); err == nil {
		t.Error("got a sandbox that is down, want the context's error")
	}
}

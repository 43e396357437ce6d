package anyframetest_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
)

// A conversation from both sides. In a test, Start replaces New, Listen and Close.
func Example() {
	cp := anyframetest.New(anyframetest.WithAgent(7, func(c *anyframetest.Chat) {
		colour := c.Ask("Which colour?", "red", "green")
		c.Say("Your " + c.Prompt() + " will be " + colour + ".")
	}))
	defer cp.Close()
	if err := cp.Listen("127.0.0.1:0"); err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	post := func(path, body string) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, cp.URL()+path, strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Header.Set("Authorization", "Bearer "+cp.Key())
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = res.Body.Close()
		fmt.Println(res.Status)
	}
	post("/api/sessions", `{"agent_id":7}`)
	id := cp.Sessions()[0].ID
	post("/api/sessions/"+id+"/message", `{"prompt":"bicycle"}`)

	// The agent waits for an answer; the operator answers.
	_ = cp.Wait(ctx, func() bool { return cp.Answer(id, "green") })
	_ = cp.Wait(ctx, func() bool { return len(cp.Log(id)) == 9 })
	for _, event := range cp.Log(id)[7:] {
		fmt.Println(event.Seq, string(event.Payload))
	}
	// Output:
	// 202 Accepted
	// 200 OK
	// 8 {"type":"assistant","message":{"content":[{"type":"text","text":"Your bicycle will be green."}]}}
	// 9 {"type":"result","subtype":"success","is_error":false}
}

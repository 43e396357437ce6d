package anyframe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/anyframe-relay/relay/anyframe/internal/loose"
)

// decode decodes an object into v, which holds the defaults of absent members.
func decode[T any](data []byte, v *T, preset T) error {
	if string(data) == "null" {
		return nil // as encoding/json requires
	}
	if err := loose.Object(data, &preset); err != nil {
		return err
	}
	*v = preset
	return nil
}

// The models tolerate members of another type. A member is converted if its meaning
// is clear, such as 7.0 or "7" for 7; otherwise it counts as absent.

// UnmarshalJSON is tolerant; see the package documentation.
func (u *User) UnmarshalJSON(data []byte) error { return decode(data, u, User{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (t *Token) UnmarshalJSON(data []byte) error { return decode(data, t, Token{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (t *TokenCreated) UnmarshalJSON(data []byte) error { return decode(data, t, TokenCreated{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (c *Credentials) UnmarshalJSON(data []byte) error { return decode(data, c, Credentials{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (p *CredentialPart) UnmarshalJSON(data []byte) error { return decode(data, p, CredentialPart{}) }

// UnmarshalJSON is tolerant, and fills in members that older servers omit.
func (c *Connector) UnmarshalJSON(data []byte) error {
	return decode(data, c, Connector{DefaultEnabled: true})
}

// UnmarshalJSON is tolerant; see the package documentation.
func (d *ConnectorDiscovery) UnmarshalJSON(data []byte) error {
	return decode(data, d, ConnectorDiscovery{})
}

// UnmarshalJSON is tolerant; see the package documentation.
func (a *ConnectorAuthorize) UnmarshalJSON(data []byte) error {
	return decode(data, a, ConnectorAuthorize{})
}

// UnmarshalJSON is tolerant; see the package documentation.
func (i *ConnectorCatalogItem) UnmarshalJSON(data []byte) error {
	return decode(data, i, ConnectorCatalogItem{})
}

// UnmarshalJSON is tolerant, and fills in members that older servers omit.
func (a *Agent) UnmarshalJSON(data []byte) error {
	return decode(data, a, Agent{Runtime: RuntimeClaude})
}

// UnmarshalJSON is tolerant, and fills in members that older servers omit. It skips
// parts of the agent that have no id.
func (d *AgentDetail) UnmarshalJSON(data []byte) error {
	if err := decode(data, d, AgentDetail{Agent: Agent{Runtime: RuntimeClaude}}); err != nil {
		return err
	}
	d.Skills = slices.DeleteFunc(d.Skills, func(s AgentSkill) bool { return s.ID == 0 })
	d.MCPs = slices.DeleteFunc(d.MCPs, func(m AgentMCP) bool { return m.ID == 0 })
	d.Connectors = slices.DeleteFunc(d.Connectors, func(t AgentConnectorToggle) bool { return t.ConnectorID == 0 })
	return nil
}

// UnmarshalJSON is tolerant; see the package documentation.
func (s *AgentSkill) UnmarshalJSON(data []byte) error { return decode(data, s, AgentSkill{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (m *AgentMCP) UnmarshalJSON(data []byte) error { return decode(data, m, AgentMCP{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (t *AgentConnectorToggle) UnmarshalJSON(data []byte) error {
	return decode(data, t, AgentConnectorToggle{})
}

// UnmarshalJSON is tolerant; see the package documentation.
func (i *AgentImage) UnmarshalJSON(data []byte) error { return decode(data, i, AgentImage{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (q *BuildQueued) UnmarshalJSON(data []byte) error { return decode(data, q, BuildQueued{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (s *BuildStatus) UnmarshalJSON(data []byte) error { return decode(data, s, BuildStatus{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (b *Build) UnmarshalJSON(data []byte) error { return decode(data, b, Build{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (u *LogURL) UnmarshalJSON(data []byte) error { return decode(data, u, LogURL{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (s *Session) UnmarshalJSON(data []byte) error { return decode(data, s, Session{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (s *Snapshot) UnmarshalJSON(data []byte) error { return decode(data, s, Snapshot{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (r *SaveAsBaseResult) UnmarshalJSON(data []byte) error {
	return decode(data, r, SaveAsBaseResult{})
}

// UnmarshalJSON is tolerant; see the package documentation.
func (c *ChatEvent) UnmarshalJSON(data []byte) error { return decode(data, c, ChatEvent{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (p *Preview) UnmarshalJSON(data []byte) error { return decode(data, p, Preview{}) }

// UnmarshalJSON is tolerant; see the package documentation.
func (r *PreviewActionResult) UnmarshalJSON(data []byte) error {
	return decode(data, r, PreviewActionResult{})
}

// UnmarshalJSON is tolerant; see the package documentation.
func (r *PreviewBatchResult) UnmarshalJSON(data []byte) error {
	return decode(data, r, PreviewBatchResult{})
}

// missingID returns the name of the id that a record requires, if it is missing; ""
// if it is present, or the record has none.
func missingID(v any) string {
	numbers := func(name string, id int64) string {
		if id == 0 {
			return name
		}
		return ""
	}
	texts := func(name, id string) string {
		if id == "" {
			return name
		}
		return ""
	}
	switch v := v.(type) {
	case *User:
		return numbers("id", v.ID)
	case *Token:
		return numbers("id", v.ID)
	case *TokenCreated:
		return numbers("id", v.ID)
	case *Connector:
		return numbers("id", v.ID)
	case *ConnectorAuthorize:
		return numbers("connector_id", v.ConnectorID)
	case *ConnectorCatalogItem:
		return texts("slug", v.Slug)
	case *Agent:
		return numbers("id", v.ID)
	case *AgentDetail:
		return numbers("id", v.ID)
	case *AgentSkill:
		return numbers("id", v.ID)
	case *AgentMCP:
		return numbers("id", v.ID)
	case *AgentConnectorToggle:
		return numbers("connector_id", v.ConnectorID)
	case *Build:
		return numbers("id", v.ID)
	case *LogURL:
		return texts("url", v.URL)
	case *Session:
		return texts("id", v.ID)
	case *Snapshot:
		return numbers("id", v.ID)
	case *ChatEvent:
		return numbers("seq", v.Seq)
	}
	return ""
}

// recordOf decodes one required value and checks its id.
func recordOf[T any](body []byte) (*T, error) {
	if len(body) == 0 || string(body) == "null" {
		return nil, errors.New("no value")
	}
	v := new(T)
	var err error
	if own, ok := any(v).(json.Unmarshaler); ok {
		err = own.UnmarshalJSON(body) // as json.Unmarshal also does in the end
	} else {
		err = json.Unmarshal(body, v)
	}
	if err != nil {
		return nil, err
	}
	if name := missingID(v); name != "" {
		return nil, fmt.Errorf("a record without %q", name)
	}
	return v, nil
}

// fetch makes a call whose response is one record.
func fetch[T any](ctx context.Context, c *Client, r request, opts []CallOption) (*T, error) {
	a, err := c.do(ctx, r, opts)
	if err != nil {
		return nil, err
	}
	v, err := recordOf[T](a.value())
	if err != nil {
		return nil, c.invalid(a, err)
	}
	return v, nil
}

// fetchList makes a call whose response is a list of records.
func fetchList[T any](ctx context.Context, c *Client, r request, opts []CallOption) ([]T, error) {
	list, _, err := fetchRows[T](ctx, c, r, opts)
	return list, err
}

// fetchRows is fetchList, and also returns the number of rows in the response. A
// row that cannot be decoded is skipped and logged; if no row can be, the response
// is invalid.
func fetchRows[T any](ctx context.Context, c *Client, r request, opts []CallOption) (list []T, rows int, err error) {
	a, err := c.do(ctx, r, opts)
	if err != nil {
		return nil, 0, err
	}
	raw, err := recordOf[[]json.RawMessage](a.value())
	if err != nil {
		return nil, 0, c.invalid(a, err)
	}
	list = make([]T, 0, len(*raw))
	var odd error
	for i, row := range *raw {
		v, err := recordOf[T](row)
		if err != nil {
			odd = fmt.Errorf("row %d: %w", i, err)
			c.log.WarnContext(ctx, "anyframe answer has a row that cannot be read", "path", r.path, "row", i, "error", err)
			continue
		}
		list = append(list, *v)
	}
	if len(list) == 0 && odd != nil {
		return nil, 0, c.invalid(a, odd)
	}
	return list, len(*raw), nil
}

// fetchRaw makes a call whose response is any JSON value, or empty.
func fetchRaw(ctx context.Context, c *Client, r request, opts []CallOption) (json.RawMessage, error) {
	a, err := c.ask(ctx, r, opts)
	if err != nil {
		return nil, err
	}
	return a.body, nil
}

// ask makes a call whose response is any JSON value, or empty: the body is nil
// then.
func (c *Client) ask(ctx context.Context, r request, opts []CallOption) (*answer, error) {
	a, err := c.do(ctx, r, opts)
	if err != nil {
		return nil, err
	}
	if a.body = a.value(); len(a.body) == 0 {
		a.body = nil
	} else if !json.Valid(a.body) {
		return nil, c.invalid(a, errors.New("not JSON"))
	}
	return a, nil
}

// looseString decodes a JSON string or number as text; anything else is "".
func looseString(raw json.RawMessage) string {
	s, ok := loose.String(raw)
	if !ok {
		return ""
	}
	return s
}

package anyframetest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"strings"
)

func missing(field string) issue {
	return issue{[]any{"body", field}, "Field required", "missing"}
}

func wrong(msg string, loc ...any) issue {
	return issue{append([]any{"body"}, loc...), msg, "value_error"}
}

// decode decodes a JSON object into the struct that v points to and returns its
// errors. An absent body counts as an empty object.
func (c *call) decode(v any) []issue {
	if len(c.Body) == 0 {
		return nil
	}
	const noObject = "Input should be a valid dictionary"
	if kind, _, _ := mime.ParseMediaType(c.Header.Get("Content-Type")); kind != "application/json" {
		return []issue{{[]any{"body"}, noObject, "model_attributes_type"}}
	}
	err := json.Unmarshal(c.Body, v)
	typeErr, mistyped := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case err == nil && strings.TrimSpace(string(c.Body))[0] != '{', mistyped && typeErr.Field == "":
		return []issue{{[]any{"body"}, noObject, "dict_type"}}
	case mistyped:
		loc := []any{"body"}
		for part := range strings.SplitSeq(typeErr.Field, ".") {
			loc = append(loc, part)
		}
		return []issue{{loc, "Input should be a valid " + typeErr.Type.String(), "type_error"}}
	case err != nil:
		return []issue{{[]any{"body"}, "JSON decode error", "json_invalid"}}
	}
	return nil
}

// attachmentBody is an attachment as received.
type attachmentBody struct {
	Kind       string  `json:"kind"`
	Name       *string `json:"name"`
	MIME       *string `json:"mime"`
	DataBase64 *string `json:"data_base64"`
	Text       *string `json:"text"`
}

// read returns the attachment, or the issues of the one at position i.
func (a attachmentBody) read(i int) (Attachment, []issue) {
	var issues []issue
	if a.Name == nil {
		issues = append(issues, wrong("Field required", "attachments", i, "name"))
	}
	if a.MIME == nil {
		issues = append(issues, wrong("Field required", "attachments", i, "mime"))
	}
	if issues != nil {
		return Attachment{}, issues
	}
	out := Attachment{Kind: a.Kind, Name: *a.Name, MIME: *a.MIME}
	family, _, _ := strings.Cut(*a.MIME, "/")
	switch {
	case a.Kind != "image" && a.Kind != "text":
		issues = append(issues, wrong("Input should be 'image' or 'text'", "attachments", i, "kind"))
	case family != a.Kind:
		issues = append(issues, wrong("Input should be a type of "+a.Kind, "attachments", i, "mime"))
	case a.Kind == "text" && a.Text == nil:
		issues = append(issues, wrong("Field required", "attachments", i, "text"))
	case a.Kind == "text":
		out.Data = []byte(*a.Text)
	case a.DataBase64 == nil:
		issues = append(issues, wrong("Field required", "attachments", i, "data_base64"))
	default:
		data, err := base64.StdEncoding.DecodeString(*a.DataBase64)
		if err != nil {
			issues = append(issues, wrong("Input should be standard base64", "attachments", i, "data_base64"))
		}
		out.Data = data
	}
	return out, issues
}

// messageAnswer accepts a message in any of the known forms: prompt with
// attachments, text, or role and content.
func (s *Server) messageAnswer(sess *session, c *call) answer {
	var body struct {
		Prompt      *string          `json:"prompt"`
		Text        *string          `json:"text"`
		Role        *string          `json:"role"`
		Content     *string          `json:"content"`
		Attachments []attachmentBody `json:"attachments"`
	}
	if issues := c.decode(&body); issues != nil {
		return invalid(issues...)
	}
	text := body.Prompt
	if text == nil {
		text = body.Text
	}
	if text == nil && body.Role != nil && *body.Role == "user" {
		text = body.Content
	}
	if text == nil {
		return invalid(missing("prompt"))
	}
	if *text == "" && len(body.Attachments) == 0 {
		return invalid(wrong("The message is empty", "prompt"))
	}
	var attachments []Attachment
	for i, a := range body.Attachments {
		read, issues := a.read(i)
		if issues != nil {
			return invalid(issues...)
		}
		attachments = append(attachments, read)
	}
	if sess.status != StatusRunning {
		return refuse(http.StatusConflict, "The session is not running")
	}
	sess.messages = append(sess.messages, c.Body)
	seq := sess.message(*text, attachments)
	return success(http.StatusOK, encode(map[string]any{"ok": true, "seq": seq}))
}

// respondAnswer answers a prompt.
func (s *Server) respondAnswer(sess *session, c *call) answer {
	var body struct {
		PromptID  string  `json:"prompt_id"`
		ToolUseID string  `json:"tool_use_id"`
		Answer    *string `json:"answer"`
		Decision  *string `json:"decision"`
		Approve   *bool   `json:"approve"`
	}
	if issues := c.decode(&body); issues != nil {
		return invalid(issues...)
	}
	if body.PromptID == "" && body.ToolUseID == "" {
		return invalid(missing("prompt_id"))
	}
	if d := body.Decision; d != nil {
		approve := *d == "approve"
		if !approve && *d != "deny" {
			return invalid(wrong("Input should be 'approve' or 'deny'", "decision"))
		}
		if body.Approve != nil && *body.Approve != approve {
			return invalid(wrong("The decision says otherwise", "approve"))
		}
		body.Approve = &approve
	}
	if sess.status != StatusRunning {
		return refuse(http.StatusConflict, "The session is not running")
	}
	p := sess.find(body.PromptID, body.ToolUseID)
	switch {
	case p == nil:
		return refuse(http.StatusNotFound, "Prompt not found")
	case p.settled:
		return refuse(http.StatusConflict, "The prompt has been answered")
	case p.permission && body.Approve == nil:
		return invalid(missing("decision"))
	case !p.permission && body.Answer == nil:
		return invalid(missing("answer"))
	case p.permission:
		p.settle(reply{approve: *body.Approve})
	default:
		p.settle(reply{text: *body.Answer})
	}
	sess.touch()
	s.notify()
	return success(http.StatusOK, []byte(`{"ok":true}`))
}

// settle passes the reply to the script. The caller has checked that there was none
// before.
func (p *prompt) settle(r reply) {
	p.settled = true
	p.reply <- r
}

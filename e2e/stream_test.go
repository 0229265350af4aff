package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"
)

const (
	sessionEvents = "subscription { sessionEvents { kind } }"
	endedEvent    = "event: next\ndata: {\"data\":{\"sessionEvents\":{\"kind\":\"ENDED\"}}}\n\nevent: complete\ndata:\n\n"
)

// events is one stream of server-sent events, as it comes.
type events struct {
	status int
	header http.Header
	leave  context.CancelFunc

	mu      sync.Mutex
	text    string
	over    bool
	changed chan struct{} // closed with every change, and then another one
}

// subscribe opens a stream as a client.
func (c *client) subscribe(url, document string) (*events, error) {
	body, err := json.Marshal(map[string]string{"query": document})
	if err != nil {
		return nil, err
	}
	ctx, leave := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/graphql", strings.NewReader(string(body)))
	if err != nil {
		leave()
		return nil, err
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"text/event-stream"}}
	if c.access != "" {
		req.Header.Set("Authorization", "Bearer "+c.access)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		leave()
		return nil, err
	}
	e := &events{status: resp.StatusCode, header: resp.Header, leave: leave, changed: make(chan struct{})}
	go e.read(resp.Body)
	return e, nil
}

func (e *events) read(body io.ReadCloser) {
	defer func() { _ = body.Close() }()
	chunk := make([]byte, 4<<10)
	for {
		n, err := body.Read(chunk)
		e.mu.Lock()
		e.text += string(chunk[:n])
		e.over = errors.Is(err, io.EOF) // any other end is a stream that was cut
		close(e.changed)
		e.changed = make(chan struct{})
		e.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// wait answers what has come when it matches, or, with over, when the server has ended the
// stream and all of it matches.
func (e *events) wait(want *regexp.Regexp, over bool) (string, error) {
	timeout := time.After(15 * time.Second)
	for {
		e.mu.Lock()
		text, isOver, changed := e.text, e.over, e.changed
		e.mu.Unlock()
		matches := want.MatchString(text)
		switch {
		case matches && (isOver || !over):
			return text, nil
		case isOver:
			return text, fmt.Errorf("the stream is over, without %q", want)
		}
		select {
		case <-changed:
		case <-timeout:
			return text, fmt.Errorf("not within 15 s (matches: %t, over: %t)", matches, isOver)
		}
	}
}

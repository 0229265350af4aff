package httpserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// soon is what takes a moment, with room for a machine that is busy.
const soon = 10 * time.Second

// live is NewServer on a socket, twenty times less patient.
type live struct {
	addr   string
	ended  chan error    // what the API saw, when it is done
	closed chan struct{} // the server has let a connection go, and its goroutine with it
}

func newLive(t *testing.T, do func(w http.ResponseWriter, r *http.Request) error) *live {
	t.Helper()
	l := &live{ended: make(chan error, 1), closed: make(chan struct{}, 1)}
	f := newFixture(development())
	f.api.do = func(w http.ResponseWriter, r *http.Request) { l.ended <- do(w, r) }
	server := NewServer(f.handler, slog.New(slog.DiscardHandler))
	server.ReadHeaderTimeout /= 20
	server.ReadTimeout /= 20
	server.WriteTimeout /= 20
	server.IdleTimeout /= 200
	server.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			l.closed <- struct{}{}
		}
	}
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		_ = c.(*net.TCPConn).SetWriteBuffer(4 << 10) // or the kernel would take a large answer whole
		return ctx
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.addr = listener.Addr().String()
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return l
}

func (l *live) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	conn, err := net.Dial("tcp", l.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.(*net.TCPConn)
}

// drip sends text and then a byte at a time until the peer has had enough.
func drip(conn net.Conn, text string) {
	_, err := io.WriteString(conn, text)
	for err == nil {
		time.Sleep(5 * time.Millisecond) // the pace of the attack
		_, err = io.WriteString(conn, "x")
	}
}

func (l *live) waitClosed(t *testing.T) {
	t.Helper()
	select {
	case <-l.closed:
	case <-time.After(soon):
		t.Fatal("the connection is still held")
	}
}

func (l *live) waitEnded(t *testing.T) error {
	t.Helper()
	select {
	case err := <-l.ended:
		return err
	case <-time.After(soon):
		t.Fatal("the request is still running")
		return nil
	}
}

func readBody(_ http.ResponseWriter, r *http.Request) error {
	_, err := io.ReadAll(r.Body)
	return err
}

func TestSlowHeadersAreCutOff(t *testing.T) {
	t.Parallel()
	l := newLive(t, readBody)
	go drip(l.dial(t), "POST /graphql HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
	l.waitClosed(t)
	if len(l.ended) > 0 {
		t.Error("it was served")
	}
}

func TestSlowBodyIsCutOff(t *testing.T) {
	for reason, header := range map[string]string{
		"a body that says its length": "Content-Length: 60000\r\n\r\n",
		"a body in pieces":            "Transfer-Encoding: chunked\r\n\r\nfff\r\n",
		"a body that is asked for":    "Content-Length: 60000\r\nExpect: 100-continue\r\n\r\n",
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			l := newLive(t, readBody)
			go drip(l.dial(t), "POST /graphql HTTP/1.1\r\nHost: localhost\r\n"+header)
			if err := l.waitEnded(t); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%v", err)
			}
			l.waitClosed(t)
		})
	}
}

func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	l := newLive(t, func(w http.ResponseWriter, r *http.Request) error {
		var err error
		for written := 0; err == nil && written < 256<<20; written += 1 << 20 {
			_, err = io.WriteString(w, strings.Repeat("x", 1<<20))
		}
		return err
	})
	conn := l.dial(t)
	_ = conn.SetReadBuffer(4 << 10)
	_, _ = io.WriteString(conn, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
	if err := l.waitEnded(t); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	l.waitClosed(t)
}

func TestSilentPeerIsCutOff(t *testing.T) {
	t.Parallel()
	l := newLive(t, readBody)
	_, _ = io.WriteString(l.dial(t), "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
	if err := l.waitEnded(t); err != nil {
		t.Error(err)
	}
	l.waitClosed(t)
}

// What runs for a client that has gone is told so.
func TestDisconnectCancelsTheRequest(t *testing.T) {
	t.Parallel()
	running := make(chan struct{})
	l := newLive(t, func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.ReadAll(r.Body)
		close(running)
		select {
		case <-r.Context().Done():
			return r.Context().Err()
		case <-time.After(soon):
			return nil
		}
	})
	conn := l.dial(t)
	_, _ = io.WriteString(conn, "POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
	<-running
	_ = conn.Close()
	if err := l.waitEnded(t); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	l.waitClosed(t)
}

package e2e

import (
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// proxy stands between a server and what it depends on, and is disturbed as a test says.
type proxy struct {
	address         string // where it listens, on loopback
	network, target string
	asked           atomic.Int64 // how often somebody has sent something, or has called in vain

	mu      sync.Mutex
	link    link
	delay   time.Duration
	changed chan struct{} // closed with the next change
	open    map[net.Conn]bool
}

type link int

const (
	passes link = iota
	cut         // connections are reset, new ones at once
	hangs       // connections are accepted, and what is sent waits until the link passes again
)

// newProxy listens until the test ends.
func newProxy(t *testing.T, network, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), network: network, target: target,
		changed: make(chan struct{}), open: map[net.Conn]bool{}}
	t.Cleanup(func() {
		_ = listener.Close()
		p.set(cut, 0)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

// set changes the link; each piece that passes is held back for the delay.
func (p *proxy) set(l link, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link, p.delay = l, delay
	close(p.changed)
	p.changed = make(chan struct{})
	for conn := range p.open {
		if l == cut {
			reset(conn)
		}
	}
}

// pass returns when something may pass; false means that the connection is lost.
func (p *proxy) pass() bool {
	for {
		p.mu.Lock()
		link, delay, changed := p.link, p.delay, p.changed
		p.mu.Unlock()
		switch link {
		case passes:
			time.Sleep(delay)
			return true
		case cut:
			return false
		}
		<-changed
	}
}

func (p *proxy) serve(in net.Conn) {
	defer p.forget(in)
	if !p.keep(in) || !p.pass() {
		p.asked.Add(1)
		return
	}
	out, err := net.Dial(p.network, p.target)
	if err != nil {
		p.asked.Add(1)
		return
	}
	defer p.forget(out)
	if !p.keep(out) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { p.pump(in, out, nil) })
	p.pump(out, in, &p.asked)
	back.Wait()
}

// pump copies until either side ends. The end waits as everything else does.
func (p *proxy) pump(to, from net.Conn, pieces *atomic.Int64) {
	defer func() { _ = to.Close() }()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && pieces != nil {
			pieces.Add(1)
		}
		if !p.pass() {
			return
		}
		if _, writeErr := to.Write(buf[:n]); err != nil || writeErr != nil {
			return
		}
	}
}

// keep remembers a connection to be reset; false means that it already is.
func (p *proxy) keep(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.link == cut {
		reset(conn)
		return false
	}
	p.open[conn] = true
	return true
}

func (p *proxy) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
	_ = conn.Close()
}

func reset(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

package ratelimit

import (
	"sync"
	"time"
)

const (
	surgeSlot  = 10 * time.Minute
	surgeSlots = int64(7 * 24 * time.Hour / surgeSlot)
	// surgeFloor is what fails in a slot without being remarkable, however little usually does:
	// a process checks some thirty passwords a second.
	surgeFloor  = 200
	surgeFactor = 5
)

// Surge notices when far more attempts fail than in the week before. It knows this
// process and this run only. The zero value is ready.
type Surge struct {
	mu     sync.Mutex
	slot   int64             // the present one, since 1970; 0: none yet
	failed int64             // in it
	until  int64             // the last slot of the surge
	calm   [surgeSlots]int64 // failures of the slots before, plus one; 0: not known, or a surge
	sum, n int64             // of calm: failures, and slots that are known
}

// Failed counts a failure and reports whether a surge begins with it.
func (s *Surge) Failed() (begins bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	s.failed++
	usual := int64(0)
	if s.n > 0 {
		usual = s.sum / s.n
	}
	if s.failed < max(surgeFloor, surgeFactor*usual) {
		return false
	}
	begins = s.until < s.slot
	s.until = s.slot + 1 // and the next: it may go on
	return begins
}

// On reports whether there is a surge.
func (s *Surge) On() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
	return s.until >= s.slot
}

// advance moves to the slot of the present time and remembers the ones before, unless there was
// a surge: an attack that lasts must not become what is usual.
func (s *Surge) advance() {
	now := time.Now().Unix() / int64(surgeSlot/time.Second)
	if s.slot == 0 {
		s.slot = now
	}
	if now-s.slot > surgeSlots { // more than a week without a call
		s.slot, s.failed = now-surgeSlots, 0
	}
	for ; s.slot < now; s.slot++ {
		place := &s.calm[s.slot%surgeSlots]
		if *place > 0 {
			s.sum, s.n = s.sum-(*place-1), s.n-1
		}
		*place = 0
		if s.until < s.slot {
			*place = s.failed + 1
			s.sum, s.n = s.sum+s.failed, s.n+1
		}
		s.failed = 0
	}
}

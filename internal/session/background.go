package session

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"latchkey/internal/token"
)

const (
	// A view of the ended sessions that is older than maxViewAge decides nothing; it is
	// read anew every reloadInterval.
	reloadInterval  = 5 * time.Second
	maxViewAge      = 15 * time.Second
	watchInterval   = time.Second // how late a watch learns that the view has become too old
	listenPause     = time.Second
	cleanupInterval = 10 * time.Minute
	cleanupBatch    = 500
	// deadFor keeps dead sessions for a day, so that the log can tell "reused" from "unknown".
	deadFor = 24 * time.Hour
)

// LoadEnded reads the sessions that ended while their access tokens may still live. Call it
// before the first Authenticate.
func (s *Service) LoadEnded(ctx context.Context) error {
	asked := time.Now()
	ids, err := s.db.EndedSessions(ctx, token.MaxAccessLife)
	if err != nil {
		return fmt.Errorf("session: read ended sessions: %w", err)
	}
	s.noteEnded(ids...)
	s.ended.current(asked)
	return nil
}

// Run listens for what other processes end, reads all of it again every few seconds in case
// something was missed, and deletes dead sessions in small batches, until ctx ends.
func (s *Service) Run(ctx context.Context, log *slog.Logger) {
	var work sync.WaitGroup
	// A long clean-up must not hold up the news of ended sessions.
	work.Go(func() { s.listen(ctx, log) })
	work.Go(func() { repeat(ctx, log, reloadInterval, s.reload) })
	work.Go(func() { repeat(ctx, log, watchInterval, s.endUncertainWatches) })
	work.Go(func() { repeat(ctx, log, cleanupInterval, s.deleteDead) })
	work.Wait()
}

// repeat does something now and every interval. A round is bounded, so that a connection that
// went dead silently costs one round and not all that follow.
func repeat(ctx context.Context, log *slog.Logger, interval time.Duration, round func(context.Context) error) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		bounded, cancel := context.WithTimeout(ctx, interval)
		if err := round(bounded); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, "background work on sessions failed", "error", err)
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// listen keeps a connection that hears of ended sessions as they end.
func (s *Service) listen(ctx context.Context, log *slog.Logger) {
	for ctx.Err() == nil {
		err := s.db.ListenEnded(ctx, func() {
			// What ended while nobody listened.
			bounded, cancel := context.WithTimeout(ctx, reloadInterval)
			defer cancel()
			if err := s.LoadEnded(bounded); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "ended sessions could not be read", "error", err)
			}
		}, func(id uuid.UUID) { s.noteEnded(id) })
		if ctx.Err() != nil {
			return
		}
		log.WarnContext(ctx, "the connection that hears of ended sessions broke: they are read every few seconds meanwhile", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(listenPause):
		}
	}
}

func (s *Service) reload(ctx context.Context) error {
	s.ended.sweep()
	return s.LoadEnded(ctx)
}

func (s *Service) deleteDead(ctx context.Context) error {
	for {
		n, err := s.db.DeleteDeadSessions(ctx, deadFor, cleanupBatch)
		if err != nil {
			return fmt.Errorf("session: delete dead sessions: %w", err)
		}
		if n < cleanupBatch {
			return nil
		}
	}
}

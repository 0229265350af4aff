package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/ulule/limiter/v3"
	ululeredis "github.com/ulule/limiter/v3/drivers/store/redis"
)

const (
	redisPrefix  = "latchkey:limit"
	redisTimeout = 100 * time.Millisecond // for one charge, whatever it needs
	// refundMargin is how much of a window must be left for a refund: ulule tells
	// the end to the second, and the refund has redisTimeout to arrive. Shorter
	// windows are never refunded.
	refundMargin = 1500 * time.Millisecond
	// countLimit makes ulule tell the exact count, which it otherwise hides
	// beyond the limit.
	countLimit = 1 << 62
)

// Redis counts for all processes that share one Redis server.
type Redis struct {
	client *redis.Client
	store  limiter.Store
}

// OpenRedis returns a Redis for a URL such as redis://:secret@host:6379/0, or
// rediss:// for TLS. It talks to nobody: connections are made when needed, and
// no call waits longer than 100 ms. The error does not repeat the URL, which may
// hold a password.
func OpenRedis(url string) (*Redis, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("ratelimit: the Redis URL is not of the form redis://[[user]:password@]host[:port][/db], rediss:// or unix://")
	}
	opts.DialTimeout = 2 * redisTimeout
	opts.ReadTimeout = redisTimeout
	opts.WriteTimeout = redisTimeout
	opts.PoolTimeout = redisTimeout
	opts.MaxRetries = -1 // a repeated INCR would charge twice
	opts.DialerRetries = 1
	opts.ContextTimeoutEnabled = true
	opts.DisableIdentity = true
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := &scriptClient{Client: redis.NewClient(opts)}
	store, err := ululeredis.NewStoreWithOptions(client, limiter.StoreOptions{Prefix: redisPrefix})
	if err != nil {
		return nil, fmt.Errorf("ratelimit: opening Redis: %w", err)
	}
	client.online = true
	return &Redis{client: client.Client, store: store}, nil
}

// Ping reports whether Redis answers.
func (r *Redis) Ping(ctx context.Context) error { return r.client.Ping(ctx).Err() }

// Close closes the connections. Charges afterwards are counted in the process.
func (r *Redis) Close() error { return r.client.Close() }

// scriptClient answers the constructor of ulule's store, which wants to load its
// scripts, with their names alone. The first charge loads them, as it does after
// a restart of Redis.
type scriptClient struct {
	*redis.Client
	online bool
}

// ScriptLoad returns the name of a script and, once online, loads it.
func (c *scriptClient) ScriptLoad(ctx context.Context, script string) *redis.StringCmd {
	if c.online {
		return c.Client.ScriptLoad(ctx, script)
	}
	cmd := redis.NewStringCmd(ctx)
	cmd.SetVal(redis.NewScript(script).Hash())
	return cmd
}

func (r *Redis) charge(ctx context.Context, key string, rate Rate) (tally, error) {
	count, ends, err := r.add(ctx, key, 1, rate.Period)
	return tally{key: key, rate: rate, count: count, ends: ends}, err
}

// refund needs two guards, as a decrement of a key that is gone makes ulule open
// a window below zero: it keeps away from the end of the window, and takes back
// what fell below zero all the same (a Redis that was emptied).
func (r *Redis) refund(ctx context.Context, t tally) error {
	if time.Until(t.ends) < refundMargin {
		return nil
	}
	count, _, err := r.add(ctx, t.key, -1, t.rate.Period)
	if err == nil && count < 0 {
		_, _, err = r.add(ctx, t.key, 1, t.rate.Period)
	}
	return err
}

// add changes a counter and returns it with the latest end of its window. It
// does not end with the caller's context: a client that hangs up must not look
// like a Redis that is away.
func (r *Redis) add(ctx context.Context, key string, n int64, period time.Duration) (int64, time.Time, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), redisTimeout)
	defer cancel()
	state, err := r.store.Increment(ctx, key, n, limiter.Rate{Period: period, Limit: countLimit})
	if err != nil {
		return 0, time.Time{}, err
	}
	ends, latest := time.Unix(state.Reset+1, 0), time.Now().Add(period)
	if ends.After(latest) {
		ends = latest
	}
	return countLimit - state.Remaining, ends, nil
}

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
	redisPrefix = "latchkey:limit"
	// countLimit makes ulule tell the exact count, which it otherwise hides
	// beyond the limit.
	countLimit = 1 << 62
)

// OpenRedis counts in the Redis server at a URL such as redis://:secret@host:6379/0, or
// rediss:// for TLS. It talks to nobody: connections are made when needed, and
// no call waits longer than 100 ms. The error does not repeat the URL, which may
// hold a password.
func OpenRedis(url string) (*Shared, error) { return openRedis(url, redisTimeout) }

func openRedis(url string, timeout time.Duration) (*Shared, error) {
	opts, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("ratelimit: the Redis URL is not of the form redis://[[user]:password@]host[:port][/db], rediss:// or unix://")
	}
	opts.DialTimeout = 2 * timeout
	opts.ReadTimeout = timeout
	opts.WriteTimeout = timeout
	opts.PoolTimeout = timeout
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
	return &Shared{
		all:     true,
		timeout: timeout,
		ping:    func(ctx context.Context) error { return client.Ping(ctx).Err() },
		close:   client.Close,
		add: func(ctx context.Context, key string, n int64, period time.Duration) (int64, time.Time, error) {
			state, err := store.Increment(ctx, key, n, limiter.Rate{Period: period, Limit: countLimit})
			return countLimit - state.Remaining, time.Unix(state.Reset+1, 0), err
		},
	}, nil
}

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

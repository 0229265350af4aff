package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"

	"latchkey/internal/password"
	"latchkey/internal/ratelimit"
	"latchkey/internal/token"
)

// maxRefreshTTL is what browsers keep a cookie for at most (RFC 6265bis section 5.5).
const maxRefreshTTL = 400 * 24 * time.Hour

// checker turns text into settings and collects what is wrong.
type checker struct {
	settings settings
	mistakes Mistakes
}

func (c *checker) wrong(flag, format string, args ...any) {
	for i, arg := range args {
		switch arg.(type) {
		case string, error:
			args[i] = shown(fmt.Sprint(arg))
		}
	}
	c.mistakes = append(c.mistakes, variable(flag)+": "+fmt.Sprintf(format, args...))
}

// shown leaves out words that may hold a password or a key, in whatever setting they stand by
// mistake: those with an @, as in a URL, and long ones without a dot.
func shown(text string) string {
	words := strings.Split(text, " ")
	for i, word := range words {
		if strings.Contains(word, "@") || (len(word) >= 40 && !strings.Contains(word, ".")) {
			words[i] = "[redacted]"
		}
	}
	return strings.Join(words, " ")
}

func (c *checker) config() Config {
	s := c.settings
	cfg := Config{
		Addr: s.Addr, DataDir: s.DataDir, Audience: s.Audience,
		TrustedProxies: c.proxies(s.TrustedProxies),
		SameSiteNone:   c.choice("cookie-same-site", s.CookieSameSite, "strict", "none") == "none",

		AccessTTL:      c.duration("access-ttl", s.AccessTTL, time.Second, token.MaxAccessTTL),
		RefreshGrace:   c.duration("refresh-grace", s.RefreshGrace, 0, time.Minute),
		RefreshIdleTTL: c.duration("refresh-idle-ttl", s.RefreshIdleTTL, time.Second, maxRefreshTTL),
		RefreshTTL:     c.duration("refresh-ttl", s.RefreshTTL, time.Second, maxRefreshTTL),
		Algorithm:      token.Algorithm(c.choice("signing-algorithm", s.SigningAlgorithm, string(token.ES256), string(token.EdDSA))),

		Limits: c.limits(),

		LogJSON: c.choice("log-format", s.LogFormat, "text", "json") == "json",
	}
	c.checkAddresses(&cfg)
	c.checkStores(&cfg)
	c.checkPasswords(&cfg)
	c.checkSessions(&cfg)
	switch c.choice("ide", s.IDE, "auto", "on", "off") {
	case "auto":
		cfg.IDE = cfg.Development
	case "on":
		cfg.IDE = true
	}
	switch c.choice("introspection", s.Introspection, "auto", "on", "off") {
	case "auto":
		cfg.Introspection = cfg.Development || cfg.IDE
	case "on":
		cfg.Introspection = true
	}
	if !cfg.Development && (cfg.IDE || cfg.Introspection) {
		cfg.Warnings = append(cfg.Warnings, "the IDE or introspection is switched on outside development: the schema is public")
	}
	if cfg.Replicas = c.integer("replicas", s.Replicas); cfg.Replicas == 0 {
		c.wrong("replicas", "%d is not at least 1", cfg.Replicas)
	}
	if err := cfg.LogLevel.UnmarshalText([]byte(s.LogLevel)); err != nil {
		c.wrong("log-level", "%q is not debug, info, warn or error", s.LogLevel)
		cfg.LogLevel = slog.LevelInfo
	}
	return cfg
}

// checkAddresses decides between development and production.
func (c *checker) checkAddresses(cfg *Config) {
	host, port, err := net.SplitHostPort(cfg.Addr)
	if n, numErr := strconv.ParseUint(port, 10, 16); err != nil || numErr != nil || n > 65535 {
		c.wrong("addr", "%q is not like 127.0.0.1:8080", cfg.Addr)
	}
	local := err != nil || isLoopback(host) // one mistake is told once
	switch public := c.settings.PublicURL; {
	case public == "" && local:
		cfg.Development = true
	case public == "":
		c.wrong("public-url", "required when the server listens on more than loopback (LATCHKEY_ADDR is %q)", cfg.Addr)
	default:
		origin, err := parseOrigin(strings.TrimSuffix(public, "/"))
		if err != nil {
			c.wrong("public-url", "%v", err)
			break
		}
		cfg.PublicURL = origin.String()
		cfg.Development = origin.Scheme == "http"
		if cfg.Development && !isLoopback(origin.Hostname()) {
			c.wrong("public-url", "must be https, because it is not loopback: browsers would send passwords in the clear")
		} else if cfg.Development && !local {
			c.wrong("addr", "must be loopback, such as 127.0.0.1:8080, while the public URL is plain http")
		}
	}
	if cfg.SameSiteNone && cfg.Development {
		c.wrong("cookie-same-site", "none needs an https public URL: browsers drop such a cookie otherwise")
	}
	if cfg.SameSiteNone {
		cfg.Warnings = append(cfg.Warnings, "cookies with SameSite=None: Safari and Firefox keep no session for pages of another site")
	}
	list := c.settings.AllowedOrigins
	if list == "" && cfg.Development {
		list = "http://localhost:5173,http://localhost:3000" // Vite's port, and that of most others
	}
	cfg.AllowedOrigins = c.origins(list, cfg.Development)
}

// Origins is the full list of origins that may call: the listed ones and the public URL's own,
// in development under both names of this machine.
func (cfg Config) Origins(publicURL string) []string {
	out := slices.Clone(cfg.AllowedOrigins)
	if cfg.Development {
		out = append(out, bothNames(publicURL)...)
	} else {
		out = append(out, publicURL)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c *checker) origins(list string, development bool) []string {
	var out []string
	if list == "" {
		return nil
	}
	for item := range strings.SplitSeq(list, ",") {
		origin, err := parseOrigin(strings.TrimSpace(item))
		switch {
		case err != nil:
			c.wrong("allowed-origins", "%v", err)
		case origin.Scheme == "http" && !isLoopback(origin.Hostname()):
			c.wrong("allowed-origins", "%q must be https, because it is not loopback", item)
		case development:
			out = append(out, bothNames(origin.String())...)
		default:
			out = append(out, origin.String())
		}
	}
	return out
}

// bothNames adds 127.0.0.1 for localhost and the other way round: which of the two stands in
// the address bar is chance.
func bothNames(origin string) []string {
	out := []string{origin}
	if u, err := url.Parse(origin); err == nil {
		other := map[string]string{"localhost": "127.0.0.1", "127.0.0.1": "localhost"}[u.Hostname()]
		if other != "" {
			out = append(out, strings.Replace(origin, u.Hostname(), other, 1))
		}
	}
	return out
}

// parseOrigin accepts what browsers write into the Origin header, and nothing else.
func parseOrigin(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(u.Host, "*") {
		return nil, fmt.Errorf("%q is not an origin such as https://app.example.com (scheme, host, port; no path, no *)", text)
	}
	if strings.ContainsFunc(u.Host, func(r rune) bool { return r > '~' }) {
		return nil, fmt.Errorf("%q must be written as browsers do, in ASCII: xn--…", text)
	}
	u.Host = strings.ToLower(u.Host)
	if (u.Scheme == "http" && u.Port() == "80") || (u.Scheme == "https" && u.Port() == "443") {
		u.Host = strings.TrimSuffix(u.Host, ":"+u.Port()) // browsers leave it out
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || (err == nil && addr.IsLoopback())
}

func (c *checker) proxies(list string) []netip.Prefix {
	var out []netip.Prefix
	if list == "" {
		return nil
	}
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		prefix, err := netip.ParsePrefix(item)
		if addr, addrErr := netip.ParseAddr(item); err != nil && addrErr == nil {
			addr = addr.Unmap() // as the peer's address will be
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			c.wrong("trusted-proxies", "%q is not an address or network such as 10.0.0.0/8", item)
			continue
		}
		out = append(out, prefix.Masked())
	}
	return out
}

// checkStores never repeats a URL: it holds a password.
func (c *checker) checkStores(cfg *Config) {
	s := c.settings
	cfg.DatabaseURL, cfg.RedisURL = s.DatabaseURL, s.RedisURL
	if s.DatabaseURL != "" {
		pg, err := pgconn.ParseConfig(s.DatabaseURL)
		isURL := strings.HasPrefix(s.DatabaseURL, "postgres://") || strings.HasPrefix(s.DatabaseURL, "postgresql://")
		switch {
		case !isURL:
			c.wrong("database-url", "is not a URL like postgres://user:password@host:5432/name")
		case err != nil: // pgx masks the password
			c.wrong("database-url", "cannot be used: %v", err)
		case !cfg.Development && !isLocalDatabase(pg) && !verifiesFully(pg):
			c.wrong("database-url", "needs sslmode=verify-full, because the database is on another host")
		}
		if cfg.DatabaseURL != "" && !cfg.Development && s.Secret == "" && s.SecretFile == "" {
			c.wrong("secret", "required with Postgres outside development: all replicas must have the same one (or LATCHKEY_SECRET_FILE)")
		}
	}
	if s.RedisURL != "" {
		if _, err := redis.ParseURL(s.RedisURL); err != nil {
			c.wrong("redis-url", "is not a URL like redis://user:password@host:6379/0")
		}
	}
	c.checkSecret(cfg)
}

// isLocalDatabase reports whether each host of the URL is this machine.
func isLocalDatabase(pg *pgconn.Config) bool {
	local := func(host string) bool { return isLoopback(host) || strings.HasPrefix(host, "/") }
	return local(pg.Host) && !slices.ContainsFunc(pg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return !local(f.Host) })
}

func verifiesFully(pg *pgconn.Config) bool {
	return pg.TLSConfig != nil && !pg.TLSConfig.InsecureSkipVerify && pg.TLSConfig.ServerName != "" &&
		!slices.ContainsFunc(pg.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.TLSConfig == nil })
}

func (c *checker) checkSecret(cfg *Config) {
	s := c.settings
	cfg.Master, cfg.HasMaster = c.master("secret", s.Secret, s.SecretFile)
	cfg.Other, cfg.HasOther = c.master("secret-other", s.SecretOther, s.SecretOtherFile)
	if cfg.HasMaster && cfg.HasOther {
		if _, err := cfg.Master.With(cfg.Other); err != nil {
			c.wrong("secret-other", "is the same as the master secret: give the one that it replaces, or none")
		}
	}
}

// master reads a secret from the setting of a flag or from the file that another names.
func (c *checker) master(flag, text, file string) (token.Master, bool) {
	switch {
	case text != "" && file != "":
		c.wrong(flag+"-file", "set it or %s, not both", variable(flag))
		return token.Master{}, false
	case file != "":
		content, err := os.ReadFile(file)
		if err != nil {
			c.wrong(flag+"-file", "cannot be read: %v", err)
			return token.Master{}, false
		}
		flag, text = flag+"-file", string(content)
	case text == "":
		return token.Master{}, false
	}
	master, err := token.ParseMaster(text)
	if err != nil {
		c.wrong(flag, "%s", strings.TrimPrefix(err.Error(), token.ErrWeakMaster.Error()+": "))
		return token.Master{}, false
	}
	return master, true
}

func (c *checker) checkPasswords(cfg *Config) {
	s := c.settings
	memory, passes := c.integer("argon2-memory-kib", s.Argon2MemoryKiB), c.integer("argon2-time", s.Argon2Time)
	concurrency := c.integer("argon2-concurrency", s.Argon2Concurrency)
	if memory >= 0 && passes >= 0 && concurrency >= 0 {
		cfg.Argon2 = password.Config{MemoryKiB: uint32(memory), Time: uint32(passes), Concurrency: concurrency}
		// Told under the name of the memory: the floor is one of pairs.
		if _, err := password.New(cfg.Argon2); err != nil {
			c.wrong("argon2-memory-kib", "%s (LATCHKEY_ARGON2_TIME is %d)", strings.TrimPrefix(err.Error(), "password: "), passes)
		}
	}
	if length := c.integer("password-min-length", s.PasswordMinLength); length >= 0 {
		var err error
		if cfg.Password, err = password.NewPolicy(length); err != nil {
			c.wrong("password-min-length", "%s", strings.TrimPrefix(err.Error(), "password: "))
		}
	}
}

func (c *checker) checkSessions(cfg *Config) {
	cfg.MaxSessions = c.integer("max-sessions", c.settings.MaxSessions)
	if cfg.MaxSessions == 0 || cfg.MaxSessions > 1000 {
		c.wrong("max-sessions", "%d is not between 1 and 1000", cfg.MaxSessions)
	}
}

func (c *checker) duration(flag, text string, least, most time.Duration) time.Duration {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		c.wrong(flag, "%q is not a duration such as 30s, 10m or 168h", text)
	case d < least || d > most:
		c.wrong(flag, "%v is not between %v and %v", d, least, most)
	}
	return d
}

func (c *checker) limits() ratelimit.Limits {
	s := c.settings
	out := ratelimit.Limits{}
	for bucket, text := range map[string]string{
		ratelimit.Requests:       s.LimitRequests,
		ratelimit.LoginAddress:   s.LimitLoginAddress,
		ratelimit.LoginNetwork:   s.LimitLoginNetwork,
		ratelimit.LoginSpray:     s.LimitLoginSpray,
		ratelimit.LoginAccount:   s.LimitLoginAccount,
		ratelimit.LoginStreak:    s.LimitLoginStreak,
		ratelimit.LoginDevice:    s.LimitLoginDevice,
		ratelimit.SignupAddress:  s.LimitSignupAddress,
		ratelimit.RefreshSession: s.LimitRefreshSession,
		ratelimit.RefreshInvalid: s.LimitRefreshInvalid,
	} {
		out[bucket] = c.rate("limit-"+bucket, text)
	}
	return out
}

func (c *checker) rate(flag, text string) ratelimit.Rate {
	r, err := ratelimit.ParseRate(text)
	if err != nil {
		c.wrong(flag, "%s", strings.TrimPrefix(err.Error(), "ratelimit: "))
	}
	return r
}

// integer answers -1 for what is none.
func (c *checker) integer(flag, text string) int {
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		reason := "is not a whole number"
		if errors.Is(err, strconv.ErrRange) {
			reason = "is too large"
		}
		c.wrong(flag, "%q %s", text, reason)
		return -1
	}
	return int(n)
}

func (c *checker) choice(flag, text string, options ...string) string {
	for _, option := range options {
		if strings.EqualFold(text, option) {
			return option
		}
	}
	c.wrong(flag, "%q is not one of %s", text, strings.Join(options, ", "))
	return options[0]
}

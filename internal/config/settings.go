// Package config turns flags and environment into settings that are known to be good.
package config

import (
	"fmt"
	"reflect"
	"strings"
)

// settings are the flags as they come: text, so that every mistake can be told at once. The
// environment variable of a flag is LATCHKEY_ and its name in capitals.
type settings struct {
	Addr      string `default:"127.0.0.1:8080" placeholder:"HOST:PORT" help:"Address to listen on."`
	PublicURL string `placeholder:"URL" help:"Origin under which browsers reach this server. Default: http://localhost and the port, for development. Anything but loopback must be https."`
	DataDir   string `default:"latchkey-data" placeholder:"DIR" help:"Directory of the SQLite database and of the generated master secret."`

	DatabaseURL string `placeholder:"URL" help:"Postgres, as postgres://user:password@host/name?sslmode=verify-full. Default: SQLite in the data directory."`
	RedisURL    string `placeholder:"URL" help:"Redis that replicas share their rate limits in, as redis://host:6379/0. Default: Postgres for the limits of accounts, each process for itself for the others."`

	Secret     string `placeholder:"BASE64" help:"Master secret, at least 32 random bytes: openssl rand -base64 32. Prefer the environment or a file: everybody on the machine can see flags. Default: generated in the data directory."`
	SecretFile string `placeholder:"FILE" help:"File with the master secret."`

	SecretOther     string `placeholder:"BASE64" help:"A second master secret, which is read but never used for anything new, while one replaces the other."`
	SecretOtherFile string `placeholder:"FILE" help:"File with the second master secret."`

	AllowedOrigins string `placeholder:"ORIGINS" help:"Origins whose pages may call the API beside the public URL's own, comma-separated, each like https://app.example.com. Default in development: http://localhost:5173 and :3000."`
	TrustedProxies string `placeholder:"CIDRS" help:"Proxies whose X-Forwarded-For is believed, comma-separated addresses or networks."`
	CookieSameSite string `default:"strict" placeholder:"strict|none" help:"none lets pages of another site keep a session, where their browser still permits that; needs https."`

	AccessTTL        string `name:"access-ttl" default:"10m" placeholder:"DURATION" help:"Life of an access token, 1s to 15m."`
	RefreshGrace     string `default:"30s" placeholder:"DURATION" help:"How long a superseded refresh token is forgiven, 0s to 60s. With 0s every refresh rotates, and a repeated one ends the session."`
	RefreshIdleTTL   string `name:"refresh-idle-ttl" default:"168h" placeholder:"DURATION" help:"A session that is not refreshed for this long is over."`
	RefreshTTL       string `name:"refresh-ttl" default:"720h" placeholder:"DURATION" help:"A session is over this long after sign-in, whatever happens; at most 9600h."`
	MaxSessions      string `default:"50" placeholder:"N" help:"Living sessions of one account, 1 to 1000. One more sign-in ends the least recently used."`
	Audience         string `placeholder:"TEXT" help:"aud of access tokens. Default: the public URL."`
	SigningAlgorithm string `default:"ES256" placeholder:"ES256|EdDSA" help:"Algorithm of new signing keys; run keys rotate after a change."`

	LimitRequests       string `default:"300/1m" placeholder:"N/DURATION" help:"Requests of one session, or of one address (IPv6: one /64) without one."`
	LimitLoginAddress   string `default:"20/5m" placeholder:"N/DURATION" help:"Failed logins from one address, known devices aside."`
	LimitLoginNetwork   string `default:"200/5m" placeholder:"N/DURATION" help:"The same from one network (IPv4 /24, IPv6 /48)."`
	LimitLoginSpray     string `default:"30/1h" placeholder:"N/DURATION" help:"Different accounts that one address may log in to, right passwords included, known devices aside."`
	LimitLoginAccount   string `default:"10/24h" placeholder:"N/DURATION" help:"Failed logins on one account from unknown devices; beyond it one attempt after 1, 2, 4, 8 and then every 15 minutes."`
	LimitLoginStreak    string `default:"100/24h" placeholder:"N/DURATION" help:"Failed logins in a row on one account from unknown devices, which then wait for the end of the period."`
	LimitLoginDevice    string `default:"10/15m" placeholder:"N/DURATION" help:"Failed logins from one known device: a browser that has logged in to the account before."`
	LimitSignupAddress  string `default:"5/1h" placeholder:"N/DURATION" help:"Sign-ups from one address (IPv6: one /64)."`
	LimitRefreshSession string `default:"60/10s" placeholder:"N/DURATION" help:"Refreshes of one session."`
	LimitRefreshInvalid string `default:"30/5m" placeholder:"N/DURATION" help:"Refresh tokens from one address that are not genuine."`
	Replicas            string `default:"1" placeholder:"N" help:"Processes that share the database. While shared counters are away, each allows that part of a limit."`

	Argon2MemoryKiB   string `name:"argon2-memory-kib" default:"19456" placeholder:"KIB" help:"Memory of one password hash."`
	Argon2Time        string `name:"argon2-time" default:"2" placeholder:"N" help:"Passes of one password hash."`
	Argon2Concurrency string `name:"argon2-concurrency" default:"0" placeholder:"N" help:"Password hashes at a time; 0: as many as processors, within a quarter of the memory."`
	PasswordMinLength string `default:"8" placeholder:"N" help:"Shortest new password in characters, 8 to 64; 15 is recommended while there is no second factor."`

	IDE           string `name:"ide" default:"auto" placeholder:"auto|on|off" help:"The GraphQL IDE at /. auto: on in development."`
	Introspection string `default:"auto" placeholder:"auto|on|off" help:"Whether clients may ask for the schema. auto: on in development, or with the IDE."`
	LogFormat     string `default:"text" placeholder:"text|json" help:"Form of the log, which goes to standard error."`
	LogLevel      string `default:"info" placeholder:"debug|info|warn|error" help:"Least level that is logged."`
}

// setting describes one flag.
type setting struct {
	Flag, Variable, Default, Help string
}

// all lists the settings in their order, from the struct's tags: the one source of --help, of
// the environment variables and of the README's table.
func all() []setting {
	var out []setting
	for field := range reflect.TypeFor[settings]().Fields() {
		flag := field.Tag.Get("name")
		if flag == "" {
			flag = kebab(field.Name)
		}
		out = append(out, setting{
			Flag: flag, Variable: variable(flag),
			Default: field.Tag.Get("default"), Help: field.Tag.Get("help"),
		})
	}
	return out
}

func variable(flag string) string {
	return "LATCHKEY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// kebab is kong's way to name a flag: DataDir is --data-dir, PublicURL is --public-url.
func kebab(name string) string {
	var b strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 && (name[i-1] < 'A' || name[i-1] > 'Z') {
			b.WriteByte('-')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// Table is the README's table of settings, in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| Environment | Default | Meaning |\n|---|---|---|\n")
	for _, s := range all() {
		value := ""
		if s.Default != "" {
			value = "`" + s.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", s.Variable, value, strings.ReplaceAll(s.Help, "|", `\|`))
	}
	return b.String()
}

package config

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/internal/ratelimit"
	"latchkey/internal/token"
	"latchkey/internal/user"
)

const (
	canary     = "hunter2Canary"
	goodSecret = "0Lr8cAmRhgpBB8yyzVY9ZTzFh0g+uzIVHzi6sSeQ8/c="
	production = "LATCHKEY_PUBLIC_URL=https://auth.example.com"
)

// parse reads a command line and an environment, and what was printed.
func parse(t *testing.T, args []string, environ ...string) (Config, Command, string, error) {
	t.Helper()
	for _, name := range []string{"PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE", "PGSERVICEFILE", "PGHOST"} {
		t.Setenv(name, "") // libpq's own variables would count
	}
	var out bytes.Buffer
	cfg, command, err := Parse(args, environ, &out, &out)
	return cfg, command, out.String(), err
}

func mustParse(t *testing.T, args []string, environ ...string) Config {
	t.Helper()
	cfg, _, _, err := parse(t, args, environ...)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// mistakes are the lines of a refused start.
func mistakes(t *testing.T, args []string, environ ...string) []string {
	t.Helper()
	_, _, _, err := parse(t, args, environ...)
	var all Mistakes
	if err != nil && !errors.As(err, &all) {
		t.Fatalf("not Mistakes, but %v", err)
	}
	return all
}

func TestWithoutAnySettingThereIsDevelopment(t *testing.T) { // on loopback only
	cfg, command, _, err := parse(t, nil)
	if err != nil || command.Name != "serve" {
		t.Fatalf("%q, %v", command.Name, err)
	}
	switch {
	case !cfg.Development || !cfg.IDE || !cfg.Introspection || cfg.Addr != "127.0.0.1:8080" || cfg.PublicURL != "":
		t.Errorf("%+v", cfg)
	case cfg.AccessTTL != 10*time.Minute || cfg.RefreshGrace != 30*time.Second || cfg.RefreshIdleTTL != 7*24*time.Hour || cfg.RefreshTTL != 30*24*time.Hour:
		t.Errorf("lifetimes: %+v", cfg)
	case cfg.Algorithm != token.ES256 || cfg.SameSiteNone || cfg.TrustedProxies != nil || cfg.HasMaster || cfg.LogLevel != slog.LevelInfo:
		t.Errorf("%+v", cfg)
	case cfg.MaxSessions != 50:
		t.Errorf("%d sessions", cfg.MaxSessions)
	case cfg.Argon2.MemoryKiB != 19456 || cfg.Argon2.Time != 2 || len(cfg.Warnings) != 0:
		t.Errorf("%+v", cfg)
	}
	if cfg := mustParse(t, nil, production); cfg.Development || cfg.IDE || cfg.Introspection || cfg.AllowedOrigins != nil {
		t.Errorf("production: %+v", cfg)
	}
}

// badSettings are one start each: the environment, and the variable that is told.
func badSettings() map[string]struct{ environ, told string } {
	remote := "LATCHKEY_SECRET=" + goodSecret + "\n" + production + "\nLATCHKEY_DATABASE_URL=postgres://u:" + canary + "@db.example.com/x"
	return map[string]struct{ environ, told string }{
		"R-99: open to the network without a public URL":    {"LATCHKEY_ADDR=0.0.0.0:8080", "PUBLIC_URL"},
		"R-99: all interfaces, by leaving the host out":     {"LATCHKEY_ADDR=:8080", "PUBLIC_URL"},
		"R-99: plain http for others":                       {"LATCHKEY_PUBLIC_URL=http://auth.example.com", "PUBLIC_URL"},
		"R-99: a name that begins like loopback":            {"LATCHKEY_PUBLIC_URL=http://localhost.evil.io", "PUBLIC_URL"},
		"R-99: loopback in name, open in fact":              {"LATCHKEY_PUBLIC_URL=http://localhost:8080\nLATCHKEY_ADDR=0.0.0.0:8080", "ADDR"},
		"R-118: a public URL with a path":                   {"LATCHKEY_PUBLIC_URL=https://example.com/auth", "PUBLIC_URL"},
		"R-118: a public URL of another kind":               {"LATCHKEY_PUBLIC_URL=ftp://example.com", "PUBLIC_URL"},
		"R-118: a public URL without a scheme":              {"LATCHKEY_PUBLIC_URL=auth.example.com", "PUBLIC_URL"},
		"R-118: a public URL with a user":                   {"LATCHKEY_PUBLIC_URL=https://u:" + canary + "@example.com", "PUBLIC_URL"},
		"R-118: a public URL that cannot be read":           {"LATCHKEY_PUBLIC_URL=https://u:" + canary + "@exa mple.com:x", "PUBLIC_URL"},
		"R-118: every origin":                               {production + "\nLATCHKEY_ALLOWED_ORIGINS=*", "ALLOWED_ORIGINS"},
		"R-103: every subdomain":                            {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://*.example.com", "ALLOWED_ORIGINS"},
		"R-102: the null origin":                            {production + "\nLATCHKEY_ALLOWED_ORIGINS=null", "ALLOWED_ORIGINS"},
		"R-118: an origin over plain http":                  {production + "\nLATCHKEY_ALLOWED_ORIGINS=http://app.example.com", "ALLOWED_ORIGINS"},
		"R-102: an origin that no browser writes so":        {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://bücher.example", "ALLOWED_ORIGINS"},
		"R-102: an origin with a path":                      {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://app.example.com/x", "ALLOWED_ORIGINS"},
		"R-102: an origin with a user":                      {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://u:" + canary + "@app.example.com", "ALLOWED_ORIGINS"},
		"R-102: a comma too many":                           {production + "\nLATCHKEY_ALLOWED_ORIGINS=https://app.example.com,", "ALLOWED_ORIGINS"},
		"R-36: a proxy by name":                             {"LATCHKEY_TRUSTED_PROXIES=proxy.internal", "TRUSTED_PROXIES"},
		"R-36: a network that is none":                      {"LATCHKEY_TRUSTED_PROXIES=10.0.0.0/33", "TRUSTED_PROXIES"},
		"R-105: cross-site cookies without https":           {"LATCHKEY_COOKIE_SAME_SITE=none", "COOKIE_SAME_SITE"},
		"R-105: there is no lax":                            {"LATCHKEY_COOKIE_SAME_SITE=lax", "COOKIE_SAME_SITE"},
		"R-50: access tokens live too long":                 {"LATCHKEY_ACCESS_TTL=15m1s", "ACCESS_TTL"},
		"R-50: access tokens do not live":                   {"LATCHKEY_ACCESS_TTL=0s", "ACCESS_TTL"},
		"a number is no duration":                           {"LATCHKEY_ACCESS_TTL=600", "ACCESS_TTL"},
		"R-68: a grace of more than a minute":               {"LATCHKEY_REFRESH_GRACE=61s", "REFRESH_GRACE"},
		"R-68: a negative grace":                            {"LATCHKEY_REFRESH_GRACE=-1s", "REFRESH_GRACE"},
		"R-76: sessions that cannot be used":                {"LATCHKEY_REFRESH_IDLE_TTL=0s", "REFRESH_IDLE_TTL"},
		"R-96: longer than browsers keep a cookie":          {"LATCHKEY_REFRESH_TTL=9601h", "REFRESH_TTL"},
		"R-94: no session at all":                           {"LATCHKEY_MAX_SESSIONS=0", "MAX_SESSIONS"},
		"R-94: more sessions than a person has devices":     {"LATCHKEY_MAX_SESSIONS=1001", "MAX_SESSIONS"},
		"R-94: a negative number of sessions":               {"LATCHKEY_MAX_SESSIONS=-1", "MAX_SESSIONS"},
		"R-44: RSA":                                         {"LATCHKEY_SIGNING_ALGORITHM=RS256", "SIGNING_ALGORITHM"},
		"R-44: none":                                        {"LATCHKEY_SIGNING_ALGORITHM=none", "SIGNING_ALGORITHM"},
		"no limit is no limit":                              {"LATCHKEY_LIMIT_LOGIN_ACCOUNT=0/15m", "LIMIT_LOGIN_ACCOUNT"},
		"a limit for nothing":                               {"LATCHKEY_LIMIT_LOGIN_ADDRESS=20", "LIMIT_LOGIN_ADDRESS"},
		"a limit that never ends":                           {"LATCHKEY_LIMIT_SIGNUP_ADDRESS=5/10000h", "LIMIT_SIGNUP_ADDRESS"},
		"R-08: hashes below the floor":                      {"LATCHKEY_ARGON2_MEMORY_KIB=1024", "ARGON2_MEMORY_KIB"},
		"R-08: one pass is too few for this memory":         {"LATCHKEY_ARGON2_TIME=1", "ARGON2_MEMORY_KIB"},
		"R-08: no memory":                                   {"LATCHKEY_ARGON2_MEMORY_KIB=-1", "ARGON2_MEMORY_KIB"},
		"R-08: more memory than can be said":                {"LATCHKEY_ARGON2_MEMORY_KIB=99999999999", "ARGON2_MEMORY_KIB"},
		"a broken number":                                   {"LATCHKEY_ARGON2_CONCURRENCY=two", "ARGON2_CONCURRENCY"},
		"R-01: a minimum of seven":                          {"LATCHKEY_PASSWORD_MIN_LENGTH=7", "PASSWORD_MIN_LENGTH"},
		"R-02: a minimum that keeps long passwords out":     {"LATCHKEY_PASSWORD_MIN_LENGTH=65", "PASSWORD_MIN_LENGTH"},
		"R-58: a short secret":                              {"LATCHKEY_SECRET=" + canary, "SECRET"},
		"R-58: a placeholder":                               {"LATCHKEY_SECRET=Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUtMTIzNDU2Nzg5MA==", "SECRET"},
		"R-58: zeros":                                       {"LATCHKEY_SECRET=" + strings.Repeat("A", 43) + "=", "SECRET"},
		"R-58: a secret that is not base64":                 {"LATCHKEY_SECRET=" + strings.Repeat(canary+"!", 4), "SECRET"},
		"R-58: a file that is not there":                    {"LATCHKEY_SECRET_FILE=/nowhere/secret", "SECRET_FILE"},
		"two secrets":                                       {"LATCHKEY_SECRET=" + goodSecret + "\nLATCHKEY_SECRET_FILE=/nowhere", "SECRET_FILE"},
		"R-61: the same secret twice":                       {"LATCHKEY_SECRET=" + goodSecret + "\nLATCHKEY_SECRET_OTHER=" + strings.TrimSuffix(goodSecret, "="), "SECRET_OTHER"},
		"two other secrets":                                 {"LATCHKEY_SECRET_OTHER=" + goodSecret + "\nLATCHKEY_SECRET_OTHER_FILE=/nowhere", "SECRET_OTHER_FILE"},
		"R-58: a short other secret":                        {"LATCHKEY_SECRET_OTHER=" + canary, "SECRET_OTHER"},
		"R-58: an other file that is not there":             {"LATCHKEY_SECRET_OTHER_FILE=/nowhere/secret", "SECRET_OTHER_FILE"},
		"replicas with a secret each":                       {production + "\nLATCHKEY_DATABASE_URL=postgres://u:" + canary + "@localhost/x", "SECRET"},
		"R-118: a remote database without TLS":              {remote + "?sslmode=disable", "DATABASE_URL"},
		"R-118: TLS if the other side likes":                {remote, "DATABASE_URL"},
		"R-118: TLS with whomever":                          {remote + "?sslmode=require", "DATABASE_URL"},
		"R-118: TLS with a stranger's name":                 {remote + "?sslmode=verify-ca", "DATABASE_URL"},
		"R-118: an sslmode of one's own":                    {remote + "?sslmode=" + canary, "DATABASE_URL"},
		"R-118: a remote database behind a local one":       {strings.Replace(remote, "@", "@localhost,", 1) + "?sslmode=disable", "DATABASE_URL"},
		"another database":                                  {"LATCHKEY_DATABASE_URL=mysql://u:" + canary + "@h/x", "DATABASE_URL"},
		"libpq's other form, which cannot be told from any": {"LATCHKEY_DATABASE_URL=host=h password=" + canary, "DATABASE_URL"},
		"a database URL that cannot be read":                {"LATCHKEY_DATABASE_URL=postgres://u:" + canary + "@h:port/x", "DATABASE_URL"},
		"a Redis URL that is none":                          {"LATCHKEY_REDIS_URL=http://u:" + canary + "@h", "REDIS_URL"},
		"a Redis URL that cannot be read":                   {"LATCHKEY_REDIS_URL=redis://u:" + canary + "@h:port", "REDIS_URL"},
		"an address without a port":                         {"LATCHKEY_ADDR=127.0.0.1", "ADDR"},
		"a port that is none":                               {"LATCHKEY_ADDR=127.0.0.1:65536", "ADDR"},
		"neither on nor off":                                {"LATCHKEY_IDE=yes", "IDE"},
		"neither on nor off, for the schema":                {"LATCHKEY_INTROSPECTION=true", "INTROSPECTION"},
		"a log in another form":                             {"LATCHKEY_LOG_FORMAT=xml", "LOG_FORMAT"},
		"a log of another level":                            {"LATCHKEY_LOG_LEVEL=chatty", "LOG_LEVEL"},
	}
}

func TestEachBadSettingRefusesToStart(t *testing.T) { // without echo of a password
	for reason, test := range badSettings() {
		t.Run(reason, func(t *testing.T) {
			got := mistakes(t, nil, strings.Split(test.environ, "\n")...)
			if len(got) != 1 || !strings.HasPrefix(got[0], "LATCHKEY_"+test.told+": ") {
				t.Errorf("%q, want one line about %s", got, test.told)
			}
			if strings.Contains(strings.Join(got, "\n"), canary) {
				t.Errorf("a password is printed: %q", got)
			}
		})
	}
}

func TestAllMistakesAreToldAtOnce(t *testing.T) {
	got := mistakes(t, []string{"--log-level=x"}, "LATCHKEY_ACCESS_TTL=x", "LATCHKEY_ARGON2_TIME=x", "LATCHKEY_PASSWORD_MIN_LENGTH=1",
		"LATCHKEY_SECRET=x", "LATCHKEY_REDIS_URL=x", "LATCHKEY_DATABASE_URL=x", "LATCHKEY_ALLOWED_ORIGINS=a,b", "LATCHKEY_IDE=x")
	var names []string
	for _, line := range got {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "LATCHKEY_"), ":")
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"ACCESS_TTL", "ALLOWED_ORIGINS", "ALLOWED_ORIGINS", "ARGON2_TIME", "DATABASE_URL", "IDE", "LOG_LEVEL",
		"PASSWORD_MIN_LENGTH", "REDIS_URL", "SECRET"}; !slices.Equal(names, want) {
		t.Errorf("%v\nwant\n%v", names, want)
	}
}

// A password in the wrong variable is the mistake of a tired operator; start-up messages end in
// everybody's log collection.
func TestNoSettingIsEchoedThatHoldsAPassword(t *testing.T) {
	for _, s := range all() {
		for _, text := range []string{"postgres://user:" + canary + "@db.example.com/x", "user:" + canary + "@host:6379", canary + strings.Repeat("x", 31), goodSecret} {
			cfg, _, out, err := parse(t, nil, s.Variable+"="+text)
			if said := fmt.Sprint(err, out, cfg.Warnings); strings.Contains(said, canary) || strings.Contains(said, goodSecret) {
				t.Errorf("%s: %s", s.Variable, said)
			}
		}
	}
}

func TestFlagsGoOverTheEnvironment(t *testing.T) {
	cfg := mustParse(t, []string{"--access-ttl=1m", "--log-format", "json"}, "LATCHKEY_ACCESS_TTL=2m", "LATCHKEY_LOG_FORMAT=text", "LATCHKEY_REFRESH_GRACE=5s")
	if cfg.AccessTTL != time.Minute || !cfg.LogJSON || cfg.RefreshGrace != 5*time.Second {
		t.Errorf("%+v", cfg)
	}
	if cfg := mustParse(t, nil, "LATCHKEY_ACCESS_TTL=", "LATCHKEY_PUBLIC_URL="); cfg.AccessTTL != 10*time.Minute || !cfg.Development {
		t.Errorf("an empty variable is a value: %+v", cfg)
	}
	if cfg := mustParse(t, nil, "ACCESS_TTL=1m", "latchkey_access_ttl=1m"); cfg.AccessTTL != 10*time.Minute {
		t.Error("a variable of another name counts")
	}
}

func TestUnknownVariablesAreTold(t *testing.T) {
	cfg := mustParse(t, nil, "LATCHKEY_ACESS_TTL="+canary, "LATCHKEY_SERVICE_HOST=10.0.0.1", "PATH=/bin", "LATCHKEY_EMPTY=")
	want := []string{"LATCHKEY_ACESS_TTL is set, but there is no such setting", "LATCHKEY_SERVICE_HOST is set, but there is no such setting"}
	if !slices.Equal(cfg.Warnings, want) {
		t.Errorf("%q", cfg.Warnings)
	}
}

func TestCommandLineThatCannotBeUnderstood(t *testing.T) { // a value under a misspelt flag is not repeated
	for _, args := range [][]string{
		{"--no-such-flag=" + canary}, {"--secrett=" + canary}, {"--secret"}, {"word"}, {"serve", "word"}, {"user"}, {"user", "create"}, {"user", "create", "a@example.com", canary}, {"user", "create", "a@example.com", "two words, " + canary}, {"migrate", "sideways"}, {"keys", "remove"},
	} {
		if _, _, out, err := parse(t, args); err == nil || strings.Contains(fmt.Sprint(err, out), canary) {
			t.Errorf("%q: %v", args, err)
		}
	}
	if _, _, _, err := parse(t, []string{"serv"}); err == nil || !strings.HasPrefix(err.Error(), "unexpected argument, did you mean ") {
		t.Errorf("a slip of the pen: %v", err)
	}
}

func TestCommands(t *testing.T) {
	for line, want := range map[string]string{
		"": "serve", "serve": "serve", "migrate up": "migrate up", "migrate down": "migrate down", "migrate status": "migrate status",
		"user list": "user list", "keys rotate": "keys rotate", "keys list": "keys list", "keys reseal": "keys reseal", "keys remove abcdefgh": "keys remove", "version": "version", "user create a@example.com": "user create",
		"user disable a@example.com": "user disable", "user enable a@example.com": "user enable",
	} {
		if _, command, _, err := parse(t, strings.Fields(line)); err != nil || command.Name != want {
			t.Errorf("%q: %q, %v", line, command.Name, err)
		}
	}
	_, command, _, err := parse(t, []string{"user", "create", "a@example.com", "--name", "Ada", "--role", "ADMIN", "--role", "USER"})
	if err != nil || command.Email != "a@example.com" || command.Label != "Ada" || !slices.Equal(command.Roles, []user.Role{user.RoleAdmin, user.RoleUser}) {
		t.Errorf("%+v, %v", command, err)
	}
	if _, command, _, err := parse(t, []string{"keys", "remove", "abcdefgh"}, "LATCHKEY_KID=other"); err != nil || command.KeyID != "abcdefgh" {
		t.Errorf("%+v, %v", command, err)
	}
	_, command, _, err = parse(t, []string{"user", "create", "a@example.com"}, "LATCHKEY_ROLE=ADMIN", "LATCHKEY_NAME=Eve")
	if err != nil || command.Label != "" || command.Roles != nil {
		t.Errorf("the environment makes an administrator: %+v, %v", command, err)
	}
	if got := mistakes(t, []string{"user", "create", "a@example.com", "--role", "root"}); len(got) != 1 || !strings.HasPrefix(got[0], "--role: ") {
		t.Errorf("%q", got)
	}
	if _, _, _, err := parse(t, []string{"version"}, "LATCHKEY_ACCESS_TTL=x"); err != nil {
		t.Errorf("the version cannot be asked for with a bad setting: %v", err)
	}
}

func TestHelpNamesEverySetting(t *testing.T) {
	_, _, out, err := parse(t, []string{"--help"})
	if !errors.Is(err, ErrDone) {
		t.Fatal(err)
	}
	for _, s := range all() {
		if !strings.Contains(out, "--"+s.Flag) || !strings.Contains(out, "$"+s.Variable) || s.Help == "" {
			t.Errorf("--help does not explain %s", s.Flag)
		}
	}
	if again, _, out, err := parse(t, []string{"serve", "--help"}, "LATCHKEY_SECRET="+canary); !errors.Is(err, ErrDone) || strings.Contains(out, canary) || again.HasMaster {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestSecretFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(goodSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file, variable := mustParse(t, nil, "LATCHKEY_SECRET_FILE="+path), mustParse(t, nil, "LATCHKEY_SECRET="+goodSecret)
	if !file.HasMaster || file.Master.Derive(token.PurposeLimitKey) != variable.Master.Derive(token.PurposeLimitKey) {
		t.Error("the file's secret is another")
	}
	other := mustParse(t, nil, "LATCHKEY_SECRET_OTHER_FILE="+path)
	if !other.HasOther || other.HasMaster || other.Other.Derive(token.PurposeLimitKey) != file.Master.Derive(token.PurposeLimitKey) {
		t.Error("the other file's secret is another")
	}
	if err := os.WriteFile(path, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mistakes(t, nil, "LATCHKEY_SECRET_FILE="+path); len(got) != 1 || !strings.HasPrefix(got[0], "LATCHKEY_SECRET_FILE: ") || strings.Contains(got[0], canary) {
		t.Errorf("%q", got)
	}
}

func TestTrustedProxies(t *testing.T) {
	cfg := mustParse(t, nil, "LATCHKEY_TRUSTED_PROXIES=10.1.2.3/8, 192.0.2.1 ,fd00::/8,::1,::ffff:192.0.2.9")
	want := []netip.Prefix{}
	for _, text := range []string{"10.0.0.0/8", "192.0.2.1/32", "fd00::/8", "::1/128", "192.0.2.9/32"} {
		want = append(want, netip.MustParsePrefix(text))
	}
	if !slices.Equal(cfg.TrustedProxies, want) {
		t.Errorf("%v", cfg.TrustedProxies)
	}
}

// every bucket has a setting, and a rate.
func TestEveryBucketHasASetting(t *testing.T) {
	cfg := mustParse(t, nil)
	for _, p := range ratelimit.Policies() {
		if !isSetting("limit-"+p.Bucket) || cfg.Limits[p.Bucket].Limit < 1 {
			t.Errorf("%s: %v", p.Bucket, cfg.Limits[p.Bucket])
		}
		changed := mustParse(t, nil, variable("limit-"+p.Bucket)+"=7/77s")
		if want := (ratelimit.Rate{Limit: 7, Period: 77 * time.Second}); changed.Limits[p.Bucket] != want {
			t.Errorf("%s: %v", p.Bucket, changed.Limits[p.Bucket])
		}
	}
	if len(cfg.Limits) != len(ratelimit.Policies()) {
		t.Errorf("%d limits", len(cfg.Limits))
	}
}

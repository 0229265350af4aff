package ratelimit

import (
	"slices"
	"time"
)

// The buckets, by their names in the log and, after "limit-", among the settings. A field of
// the schema names its own with @limit.
const (
	Requests       = "requests"
	LoginAddress   = "login-address"
	LoginNetwork   = "login-network"
	LoginSpray     = "login-spray"
	LoginAccount   = "login-account"
	LoginStreak    = "login-streak"
	LoginDevice    = "login-device"
	SignupAddress  = "signup-address"
	RefreshSession = "refresh-session"
	RefreshInvalid = "refresh-invalid"
)

// Policy is what one bucket limits. The words are for the documentation.
type Policy struct {
	Bucket  string
	Key     string // whose budget it is
	Charged string // what costs a unit
	Refused string // what happens to those who have none left

	isKept   bool // a success costs a unit too
	isStreak bool // a success ends the count
	isSpaced bool // beyond the limit one unit passes now and then
	place    place
}

// place says who counts.
type place int

const (
	inRedis    place = iota // all replicas, if they share a Redis; else each process
	inDatabase              // all replicas, in Redis or else in Postgres
	inProcess               // each process: for what is asked too often to ask anybody
)

// Counted says who counts, for the documentation.
func (p Policy) Counted() string {
	switch p.place {
	case inProcess:
		return "each process"
	case inDatabase:
		return "all replicas, in Redis or Postgres"
	}
	return "all replicas with Redis, else each process"
}

// policies is the table of all buckets.
var policies = []Policy{
	{Bucket: Requests, Key: "session, or address of a caller without one", Charged: "each request to the API",
		Refused: "429 before anything is parsed", place: inProcess},
	{Bucket: LoginAddress, Key: "address", Charged: "failed logins", Refused: "unknown devices at this address wait"},
	{Bucket: LoginNetwork, Key: "network: IPv4 /24, IPv6 /48", Charged: "failed logins", Refused: "unknown devices in this network wait"},
	{Bucket: LoginSpray, Key: "address", Charged: "each further account that is tried, successes included",
		Refused: "unknown devices at this address wait", place: inDatabase, isKept: true},
	{Bucket: LoginAccount, Key: "account, existing or not", Charged: "failed logins from unknown devices",
		Refused: "unknown devices get one attempt after 1, 2, 4, 8 and then every 15 minutes", place: inDatabase, isSpaced: true},
	{Bucket: LoginStreak, Key: "account, existing or not", Charged: "failed logins in a row from unknown devices",
		Refused: "unknown devices wait until the window ends", place: inDatabase, isStreak: true},
	{Bucket: LoginDevice, Key: "known device of one account", Charged: "failed logins", Refused: "this device waits", place: inDatabase},
	{Bucket: SignupAddress, Key: "address", Charged: "sign-ups, and news that an email address is taken", Refused: "this address waits"},
	{Bucket: RefreshSession, Key: "session", Charged: "refreshes", Refused: "the client waits; cookie and session stay", place: inProcess},
	{Bucket: RefreshInvalid, Key: "address", Charged: "refresh tokens that are not genuine",
		Refused: "further ones wait; genuine tokens do not"},
}

// Policies lists all buckets.
func Policies() []Policy { return slices.Clone(policies) }

// Limits are the rates by bucket. A bucket without one cannot be charged.
type Limits map[string]Rate

// Charge is one unit of a bucket at its rate.
func (l Limits) Charge(bucket, key string) Charge {
	c := Charge{Bucket: bucket, Key: key, Rate: l[bucket]}
	for _, p := range policies {
		if p.Bucket == bucket {
			c.policy = p
		}
	}
	return c
}

// spacing is how long the next unit of a spaced bucket waits, by how far the count is beyond
// the limit.
func spacing(beyond int64) time.Duration {
	const most = 15 * time.Minute
	if beyond >= 4 {
		return most
	}
	return time.Minute << beyond
}

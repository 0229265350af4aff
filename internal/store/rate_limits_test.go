package store_test

import (
	"sync"
	"testing"
	"time"

	"latchkey/internal/store/storetest"
)

func TestCounters(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		add := func(name string, n, want int64, least time.Duration) {
			t.Helper()
			count, left, err := db.AddToCounter(t.Context(), name, n, time.Minute)
			if err != nil || count != want || left > time.Minute || left < least {
				t.Fatalf("%s: %d, %v, %v; want %d", name, count, left, err, want)
			}
		}
		add("a", 1, 1, 59*time.Second)
		db.Age(t, 30*time.Second)
		add("a", 1, 2, 28*time.Second) // a unit prolongs no window
		if _, left, _ := db.AddToCounter(t.Context(), "a", 0, time.Hour); left > 30*time.Second {
			t.Fatalf("%v left", left)
		}
		add("a", -1, 1, 0)
		add("a", -5, 0, 0)
		add("b", -1, 0, 0) // giving back opens nothing below zero
		add("b", 1, 1, 0)
		db.Age(t, 40*time.Second)
		add("a", 1, 1, 59*time.Second) // the next window

		if n, err := db.DeleteDeadCounters(t.Context(), 10); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		db.Age(t, 2*time.Minute)
		add("a", 1, 1, 0)
		add("c", 1, 1, 0)
		db.Age(t, 2*time.Minute)
		add("c", 1, 1, 0)
		for _, want := range []int{1, 1, 0} {
			if n, err := db.DeleteDeadCounters(t.Context(), 1); err != nil || n != want {
				t.Fatal(n, err)
			}
		}
		if names := db.Text(t, "SELECT name FROM rate_limits"); names != "c" {
			t.Fatal(names)
		}
	})
}

// however many at once, each unit is counted.
func TestCountersAreAtomic(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *storetest.Database) {
		var mu sync.Mutex
		seen := map[int64]bool{}
		var group sync.WaitGroup
		for range 100 {
			group.Go(func() {
				count, _, err := db.AddToCounter(t.Context(), "a", 1, time.Minute)
				mu.Lock()
				defer mu.Unlock()
				if err != nil || seen[count] {
					t.Error(count, err)
				}
				seen[count] = true
			})
		}
		group.Wait()
		if len(seen) != 100 {
			t.Errorf("%d different counts", len(seen))
		}
	})
}

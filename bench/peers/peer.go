// SPDX-License-Identifier: MIT
//
// What peer.h says, for the peer in Go.
package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var records []int64 // besides the ns

func repeat(count int, work func()) int64 {
	start := time.Now()
	for i := 0; i < count; i++ {
		work()
	}
	return time.Since(start).Nanoseconds()
}

func timed(count int, work func()) int64 {
	var elapsed int64
	for i := 0; i < count; i++ {
		ns := repeat(1, work)
		records = append(records, ns)
		elapsed += ns
	}
	return elapsed
}

// In a goroutine that the runtime may move, or, as main() is locked, in one that it may not.
func unlocked(work func()) int64 {
	start := time.Now()
	done := make(chan struct{})
	go func() { work(); close(done) }()
	<-done
	return time.Since(start).Nanoseconds()
}

// 2 ms apart, so that the runtime sleeps; the work alone is timed.
func parked(count int, work func()) int64 {
	var elapsed int64
	for i := 0; i < count; i++ {
		time.Sleep(2 * time.Millisecond)
		elapsed += repeat(1, work)
	}
	return elapsed
}

// Let threads do the work together until it was done count times.
func crew(count, threads int, work func()) int64 {
	var ready, ended sync.WaitGroup
	start := make(chan struct{})
	ready.Add(threads)
	ended.Add(threads)
	for i := 0; i < threads; i++ {
		go func() {
			runtime.LockOSThread()
			ready.Done()
			<-start
			for i := 0; i < (count+threads-1)/threads; i++ {
				work()
			}
			ended.Done()
		}()
	}
	ready.Wait()
	begun := time.Now()
	close(start)
	ended.Wait()
	return time.Since(begun).Nanoseconds()
}

func residentBytes() int64 {
	text, _ := os.ReadFile("/proc/self/statm")
	pages, _ := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	return pages * 4096
}

// A function that each sleeper calls when it begins.  The last of them takes the resident bytes of
// one, which later calls return.
func bytesOfLast(sleepers int) func() int64 {
	var begun, each int64
	before := residentBytes()
	return func() int64 {
		if atomic.AddInt64(&begun, 1) == int64(sleepers) {
			each = (residentBytes() - before) / int64(sleepers)
		}
		return each
	}
}

func main() {
	runtime.LockOSThread() // a plain thread
	id, number := os.Args[1], 0
	if cut := strings.LastIndex(id, "-"); cut > 0 {
		if last, err := strconv.Atoi(id[cut+1:]); err == nil {
			id, number = id[:cut], last
		}
	}
	work := works[id]
	if work == nil {
		return
	}
	once := strings.HasPrefix(id, "W6") // one figure for all sleepers
	if number == 0 && once {
		number = 100000
	} else if number == 0 {
		number = 1
	}
	if id == "W10" {
		work(0, 0) // says itself when it is ready
	}
	fmt.Println("ready")
	for count := 0; ; {
		if _, err := fmt.Scan(&count); err != nil {
			return
		}
		records = nil
		each := float64(work(count, number))
		if !once {
			each /= float64(count)
		}
		fmt.Printf("%.6g", each)
		for _, record := range records {
			fmt.Printf(" %d", record)
		}
		fmt.Println()
	}
}

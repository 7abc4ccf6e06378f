// Binary search for the highest rate that passes a trial (RFC 8219 §7.1, RFC 9693 for new connections).
#pragma once

namespace portolan::bench {

// The highest rate in (0, most] that passes, to within `resolution` of it as a share of `most`; 0 if none does.
// passes(rate) runs a trial. That what passes does so at all lower rates is assumed, as in RFC 2544 §24.
template <class Passes>
double find_highest_rate(double most, double resolution, Passes&& passes) {
  if (passes(most)) return most;
  double good = 0, bad = most;
  while (bad - good > resolution * most) {
    const double rate = (good + bad) / 2;
    (passes(rate) ? good : bad) = rate;
  }
  return good;
}

}  // namespace portolan::bench

// What the guard's codes mean, in human words. All codes: docs/options.md.

export const OVER = {
  revoked: "It was ended: from another device, or because its cookie turned up too far away.",
  reuse_detected:
    "A refresh token came back that had been superseded. Whether a thief or its owner sent it cannot be told, so the session ended for both. Log in again, and the thief's copy is worth nothing.",
  logged_out: "You have logged out.",
  replaced: "A newer login took its place.",
  session_expired: "It has reached the end of its life.",
  session_ended: "It is gone.",
  rolled_back_client: "The browser came back with an older cookie, as after a crash.",
  cookie_not_stored: "The browser did not store the new cookie.",
  token_expired:
    "The access token ran out, and no cookie came to renew it: your browser has not kept it. Over plain HTTP, Safari keeps no Secure cookie at all, others keep it for localhost only.",
};

// On a page that showed nobody these say that there was nothing. On one that showed a session, that it is gone all the same.
const UNKNOWN = "The demo does not know it: it was started again and has forgotten all sessions, or this browser has lost its cookies.";
const NOBODY = {
  token_required: UNKNOWN,
  invalid_token: UNKNOWN,
  session_mismatch: "Somebody else has logged in in this browser, in another tab.",
};

export function whyOver({ code, detail }, isShown) {
  if (code in NOBODY) return isShown ? NOBODY[code] : null;
  return OVER[code] ?? detail ?? "It is over.";
}

// By attack, what the guard's answer means; the status stands for what has no code.
export const MEANS = {
  replay: {
    reuse_detected: "Caught. Thief or owner, the guard cannot tell, so the session is over for both. You log in again; the thief cannot.",
    200: "Served once more and handed nothing: for a few seconds after a rotation this may be a tab of yours that was slow.",
    step_up_required: "Not believed: the successor is not in use yet, and this is another device than yours. It would have to know your password.",
  },
  elsewhere: {
    revoked: "Too far away for one person: the session is over at once, for the thief and for you. Log in again.",
    step_up_required: "Doubtful: whoever asks from there has to know your password. Nothing was handed out, and you go on undisturbed.",
    200: "As near as this, it might be you on another network, so it is served. The next rotation tells: a token works once, and the second who shows it ends the session.",
  },
  cross: {
    token_required: "Your browser did not send the cookie along to a post from another site (SameSite=Lax), so the guard saw nobody.",
    token_expired: "Your browser did not send the cookie along to a post from another site (SameSite=Lax), so the guard saw nobody.",
    cross_site_request: "Even with the cookie: a cookie alone carries no post from another site. Nothing was done and nothing rotated.",
  },
  forge: {
    invalid_token: "The signature is wrong, so it is refused before anything else is looked at. The good cookie beside it does not help, and you go on.",
  },
};

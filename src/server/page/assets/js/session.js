// @ts-check
// Who is signed in: kept for this tab only, and sent to this server only.

const KEY = 'annals.credentials';

/** @returns {string | null} the value of the `Authorization` header */
export function authorization() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** @param {string} token */
export function signInWithToken(token) {
  sessionStorage.setItem(KEY, `Bearer ${token}`);
}

/**
 * @param {string} user
 * @param {string} password
 */
export function signInWithPassword(user, password) {
  const bytes = new TextEncoder().encode(`${user}:${password}`);
  sessionStorage.setItem(KEY, `Basic ${btoa(String.fromCharCode(...bytes))}`);
}

export function signOut() {
  sessionStorage.removeItem(KEY);
}

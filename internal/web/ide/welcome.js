// What an empty editor shows: all of it at 1280 by 800 pixels. The operations are meant
// to be run from top to bottom. Those that sign in ask for no token: it would push the
// user out of view, and the page gets its own.
export const query = `# Welcome to Latchkey.
# Press the play button and choose an operation.
# Email and password are under Variables, below.

mutation SignUp($input: SignUpInput!) {
  signUp(input: $input) { user { id email } }
}

mutation Login($input: LoginInput!) {
  login(input: $input) { user { id email } }
}

query Me { me { id email roles createdAt } }

mutation Refresh {
  refresh { expiresIn accessToken }
}

mutation Logout { logout }`;

export const variables = `{
  "input": {
    "email": "ada@example.com",
    "password": "paper lantern on a quiet quay"
  }
}`;

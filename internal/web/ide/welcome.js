// What an empty editor shows. The operations are meant to be run from top to bottom.
export const query = `# Welcome to Latchkey.
#
# Put the cursor into an operation and press
# Ctrl-Enter, or pick one with the play button.
# Email and password are under Variables, below.
#
# Once signed up or logged in here, every later
# request is signed in too: until you log out,
# and through a reload of this page.

mutation SignUp($input: SignUpInput!) {
  signUp(input: $input) {
    accessToken
    expiresIn
    user {
      id
      email
    }
  }
}

# Back another day? The same variables will do.
mutation Login($input: LoginInput!) {
  login(input: $input) {
    expiresIn
    user {
      email
    }
  }
}

# Who am I?
query Me {
  me {
    id
    email
    roles
    createdAt
  }
}

# A new access token, for the refresh token in your
# cookie. This page does it by itself when it must.
mutation Refresh {
  refresh {
    accessToken
    expiresIn
  }
}

mutation Logout {
  logout
}
`;

export const variables = `{
  "input": {
    "email": "ada@example.com",
    "password": "paper lantern on a quiet quay"
  }
}`;

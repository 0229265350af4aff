export declare function createAuthClient(options: { url: string }): { refresh(): Promise<string> };

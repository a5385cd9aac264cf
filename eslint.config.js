import tseslint from 'typescript-eslint';

export default tseslint.config(
  {ignores: ['dist/', 'coverage/', 'node_modules/', 'fixtures/', '.demo/', '.bench/', '.test/']},
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        // One program for all: a third faster than a service that looks for the project of each file.
        project: ['./test/tsconfig.json'],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      // Loops that wait on shared memory or a blocking read are the design.
      '@typescript-eslint/no-unnecessary-condition': ['error', {allowConstantLoopConditions: true}],
      '@typescript-eslint/restrict-template-expressions': ['error', {allowNumber: true}],
      // A fifth of the time, for what cannot be here: enums are not erasable (tsconfig).
      '@typescript-eslint/no-unsafe-enum-assignment': 'off',
      'no-restricted-imports': [
        'error',
        {patterns: [{group: ['*/index.js'], message: 'no barrels'}]},
      ],
    },
  },
  {
    files: ['**/*.mjs', '**/*.js'],
    ...tseslint.configs.disableTypeChecked,
  },
);
